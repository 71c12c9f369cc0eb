"""Canonical rows from the embedded world, a file, a folder or the Hub."""

import json
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, Features, Value, load_dataset, load_from_disk
from datasets.exceptions import DatasetGenerationError, DatasetsError

DEMO = "demo"
DEMO_MULTI_TURN = "demo-multiturn"
_TEXT = Value("string")
_CALL = {"id": _TEXT, "type": _TEXT, "function": {"name": _TEXT, "arguments": _TEXT}}
_MESSAGE = {"role": _TEXT, "content": _TEXT, "tool_calls": [_CALL], "tool_call_id": _TEXT, "name": _TEXT}
# Types of the rows that the converters give. What infers types from the first rows fails where calls come up later.
ROW_FEATURES = Features(prompt=[_MESSAGE], tools=_TEXT, reference=_TEXT, id=_TEXT, source=_TEXT)
_FORMATS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


def load_rows(name: str, config: str | None = None, split: str = "train", num_demo_rows: int = 4000) -> Dataset:
    """
    Load canonical rows.

    Args:
        name (`str`):
            `"demo"` for the embedded tool world, `"demo-multiturn"` for its multi-turn sister, a file (`.jsonl`,
            `.json`, `.parquet`, `.csv`), a folder written by `Dataset.save_to_disk`, or a data set on the Hub (a folder
            with data files works as one).
        config (`str`, *optional*):
            Configuration of a data set on the Hub.
        split (`str`, *optional*, defaults to `"train"`):
            Split to load.
        num_demo_rows (`int`, *optional*, defaults to `4000`):
            How many rows an embedded world makes up.

    Returns:
        [`~datasets.Dataset`]:
            Rows.

    Raises:
        FileNotFoundError: If `name` looks like a file and there is none.
        ValueError: If a file cannot be read, or a folder lacks the split.
    """
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
            reason = "it is empty" if isinstance(told, StopIteration) else told
            raise ValueError(f"dataset_name: {name!r} cannot be read: {reason}") from error
    if (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
        loaded: Any = load_from_disk(name)
        if isinstance(loaded, DatasetDict):
            if split not in loaded:
                raise ValueError(f"{name!r} has the splits {sorted(loaded)}, not {split!r}.")
            loaded = loaded[split]
        return loaded
    return load_dataset(name, config, split=split)


def _load_file(name: str, split: str) -> Dataset:
    suffix = Path(name).suffix
    options = {"data_files": {split: name}, "split": split}
    try:
        return load_dataset(_FORMATS[suffix], **options)
    except DatasetGenerationError:
        columns = _first_columns(name) if suffix == ".jsonl" else []
        if not columns or not ROW_FEATURES.keys() >= set(columns):
            raise
        features = Features({column: ROW_FEATURES[column] for column in columns})
        return load_dataset(_FORMATS[suffix], features=features, **options)


def _first_columns(name: str) -> list[str]:
    with Path(name).open(encoding="utf-8") as lines:
        first = json.loads(next(lines, "{}"))
    return list(first) if isinstance(first, dict) else []


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
        groups.setdefault(repr(prompt), []).append(index)
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
