"""Canonical rows from the embedded world, a file, a folder or the Hub."""

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Json, List, Value, load_dataset
from datasets.exceptions import DatasetGenerationError, DatasetsError

from ..demo.names import DEMO, DEMO_MULTI_TURN
from ..tool_calls.native import REASONING_FIELDS
from .duplicates import without_ids
from .prompts import DEFAULT_THINK_TAGS, to_messages
from .records import Unconvertible, load_saved, read_records

_TEXT = Value("string")
_CALL = {"id": _TEXT, "type": _TEXT, "function": {"name": _TEXT, "arguments": _TEXT}}
_MESSAGE = {"role": _TEXT, "content": _TEXT, "tool_calls": [_CALL], "tool_call_id": _TEXT, "name": _TEXT}
# Types of the rows that the converters give. What infers types from the first rows fails where calls come up later.
ROW_FEATURES = Features(prompt=[_MESSAGE], tools=_TEXT, reference=_TEXT, answer=_TEXT, id=_TEXT, source=_TEXT)
_FORMATS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


def load_rows(name: str, config: str | None = None, split: str = "train", num_demo_rows: int = 4000) -> Dataset:
    """Load canonical rows."""
    if name == DEMO:
        from ..demo.world import make_rows

        return Dataset.from_list(make_rows(num_demo_rows, split=split))
    if name == DEMO_MULTI_TURN:
        from ..demo.multi_turn_world import make_rows as make_multi_turn_rows

        return Dataset.from_list(make_multi_turn_rows(num_demo_rows, split=split))
    path = Path(name)
    if path.suffix in _FORMATS:
        if not path.is_file():
            raise FileNotFoundError(f"dataset_name: there is no file {name!r}.")
        try:
            return _load_file(name, split)
        except (ValueError, DatasetsError, StopIteration) as error:
            told = error.__cause__ or error
            reason = "it is empty" if isinstance(told, StopIteration) else _broken_line(path) or told
            raise ValueError(f"dataset_name: {name!r} cannot be read: {reason}") from error
    if (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
        return load_saved(name, split)
    return load_dataset(name, config, split=split)


def _broken_line(path: Path) -> str | None:
    """The first line of a JSON-lines file that does not hold an object, with what is wrong."""
    if path.suffix != ".jsonl":
        return None
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                if line.strip() and not isinstance(json.loads(line.decode()), dict):
                    return f"line {number} is not a JSON object"
            except (ValueError, RecursionError) as error:
                return f"line {number} is not a JSON object: {error}"
    return None


def _load_file(name: str, split: str) -> Dataset:
    suffix = Path(name).suffix
    options = {"data_files": {split: name}, "split": split}
    try:
        rows = load_dataset(_FORMATS[suffix], **options)
    except DatasetGenerationError:
        columns = _first_columns(name) if suffix == ".jsonl" else []
        if not columns or not ROW_FEATURES.keys() >= set(columns):
            raise
        texts = {column: ROW_FEATURES[column] for column in columns}
        load_dataset(_FORMATS[suffix], features=Features(texts), **options)  # raises where a row has other fields
    else:
        texts = {column: _as_text(feature) for column, feature in rows.features.items()}
        if _FORMATS[suffix] != "json" or texts == dict(rows.features):
            return rows
    # `datasets` reads text as time where all of a column looks like it, and would write another text back.
    path = Path(name).resolve()
    state = path.stat()
    kwargs = {"name": str(path), "columns": tuple(texts), "version": (state.st_mtime_ns, state.st_size)}
    return Dataset.from_generator(_records, features=Features(texts), gen_kwargs=kwargs, split=split)


def _records(name: str, columns: Collection[str], version: Any) -> Iterator[dict[str, Any]]:
    """Records of a JSON file; the version tells `datasets` that a file is another than that it has in its cache."""
    for record in read_records(name):
        if isinstance(record, Unconvertible):
            raise record
        yield {**dict.fromkeys(columns), **record}


def _as_text(feature: Any) -> Any:
    """The feature with timestamps replaced by strings."""
    if isinstance(feature, dict):
        return {name: _as_text(item) for name, item in feature.items()}
    if isinstance(feature, List):
        return List(_as_text(feature.feature))
    return _TEXT if isinstance(feature, Value) and feature.dtype.startswith("timestamp") else feature


def _first_columns(name: str) -> list[str]:
    with Path(name).open(encoding="utf-8") as lines:
        first = json.loads(next(lines, "{}"))
    return list(first) if isinstance(first, dict) else []


def in_paper_style(rows: Dataset, think_tags: Sequence[str] = DEFAULT_THINK_TAGS) -> Dataset:
    """Rows with the prompts that [`~egpo_trl.data.prompts.to_messages`] writes in the paper's style."""
    features = Features(rows.features)
    message = getattr(features["prompt"], "feature", None)
    if isinstance(message, dict):  # `map` would take the keys of the first messages for those of all
        content = _TEXT if message.get("content", _TEXT) == _TEXT else Json()
        kept = {name: message[name] for name in REASONING_FIELDS if name in message}
        features["prompt"] = List({"role": _TEXT, "content": content, **kept})
    return rows.map(
        lambda row: {"prompt": to_messages(row, "paper", think_tags)}, features=features, desc="Writing prompts"
    )


def split_by_prompt(rows: Dataset, share: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """
    Split rows for training and validation, by prompt: rows with the same prompt stay together.

    Args:
        rows ([`~datasets.Dataset`]):
            Rows.
        share (`float`):
            Share of the rows to hold out, between 0 and 1; the paper holds out 5 %. At least one prompt stays on each
            side.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the choice.

    Returns:
        `tuple`:
            Rows to train on and rows held out.

    Raises:
        ValueError: If `share` is out of range or all rows have the same prompt.
    """
    if not 0 < share < 1:
        raise ValueError(f"validation_share must be between 0 and 1, got {share}.")
    groups: dict[str, list[int]] = {}
    for index, prompt in enumerate(rows["prompt"]):
        groups.setdefault(repr(without_ids(prompt)), []).append(index)
    if len(groups) < 2:
        raise ValueError("validation_share needs rows with at least two different prompts.")
    import random

    order = list(groups.values())
    random.Random(seed).shuffle(order)
    held_out: list[int] = []
    while order[1:] and (not held_out or len(held_out) < share * len(rows)):
        held_out += order.pop()
    train = sorted(index for group in order for index in group)
    return rows.select(train), rows.select(sorted(held_out))
