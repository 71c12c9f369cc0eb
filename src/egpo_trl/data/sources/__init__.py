"""Converters: records of public function-calling data sets, and of users' own, to the canonical row.

One module for each source; [`convert`] streams, so memory does not grow with the number of records.
"""

import inspect
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from .. import records
from ..records import Unconvertible
from ..rows import row_problem
from . import apigen_mt, bfcl, hermes, jsonl, messages, sharegpt, toolace, xlam
from .conversation import Row, dump_json

logger = logging.getLogger(__name__)

SOURCES: dict[str, ModuleType] = {
    "xlam": xlam,
    "toolace": toolace,
    "hermes": hermes,
    "messages": messages,
    "sharegpt": sharegpt,
    "apigen_mt": apigen_mt,
    "bfcl": bfcl,
    "jsonl": jsonl,
}
_FIELDS = ("prompt", "tools", "reference", "answer")


@dataclass(frozen=True)
class Skipped:
    """A record that was not converted: its position, the field at fault, what is wrong, and its id if it has one."""

    index: int
    field: str
    reason: str
    id: str | None = None

    def __str__(self) -> str:
        return f"record {self.index}{f' (id {self.id!r})' if self.id else ''}, field {self.field!r}: {self.reason}"


class Conversion:
    """
    Canonical rows of a data set, to be iterated over; made by [`convert`]. Each iteration starts again.

    Args:
        source (`str`):
            Key of [`SOURCES`].
        read (`Callable`):
            Gives the records.
        options (`Mapping[str, Any]`):
            Options of the source's `convert_record`.
        on_skip (`Callable`):
            Called with each [`Skipped`].

    Attributes:
        num_records (`int`): Records read so far.
        num_rows (`int`): Rows given so far.
        skipped (`Counter`): Records left out so far, by field.
    """

    def __init__(
        self,
        source: str,
        read: Callable[[], Iterator[Mapping[str, Any] | Unconvertible]],
        options: Mapping[str, Any],
        on_skip: Callable[[Skipped], None],
    ) -> None:
        self._source = source
        self._read = read
        self._options = options
        self._on_skip = on_skip
        self._reset()

    def _reset(self) -> None:
        self.num_records = 0
        self.num_rows = 0
        self.skipped: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Row]:
        self._reset()
        for index, record in enumerate(self._read()):
            self.num_records += 1
            record_id = None
            try:
                if isinstance(record, Unconvertible):
                    raise record
                record_id = _id_of(record)
                rows = self._rows(record, record_id or f"{self._source}-{index}")
            except Unconvertible as error:
                self._skip(Skipped(index, error.field or "record", error.reason, record_id))
                continue
            except RecursionError:
                self._skip(Skipped(index, "record", "is nested too deeply", record_id))
                continue
            self.num_rows += len(rows)
            yield from rows

    def _rows(self, record: Mapping[str, Any], record_id: str) -> list[Row]:
        rows: list[Row] = SOURCES[self._source].convert_record(record, **self._options)
        for step, row in enumerate(rows):
            _check(row)
            row["id"] = record_id if len(rows) == 1 else f"{record_id}-{step}"
            row["source"] = self._source
        return rows

    def _skip(self, skipped: Skipped) -> None:
        self.skipped[skipped.field] += 1
        self._on_skip(skipped)


def _id_of(record: Mapping[str, Any]) -> str | None:
    value = record.get("id")
    text = str(value)[:200] if isinstance(value, (str, int)) else ""
    return text.encode("utf-8", "replace").decode() or None  # a lone surrogate could not be written


def _check(row: Row) -> None:
    """What is given can be trained on: it passes the checks of rows and can be written as UTF-8."""
    problem = row_problem(row, 0, _FIELDS)
    if problem is not None:
        field, reason = problem.split(", field ", 1)[1].split(": ", 1)
        raise Unconvertible(field.strip("'"), reason)
    for field, text in (("prompt", dump_json(row["prompt"])), ("answer", row["answer"] or "")):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Unconvertible(field, "holds a lone surrogate") from None


def _warn(skipped: Skipped) -> None:
    logger.warning("skipped %s", skipped)


def convert(
    name_or_path: str,
    source: str,
    *,
    split: str = "train",
    config: str | None = None,
    on_skip: Callable[[Skipped], None] = _warn,
    **options: Any,
) -> Conversion:
    """
    Convert a data set to canonical rows.

    A conversation becomes one row for each assistant step behind a user message: the history is the prompt, the calls
    of the step are the reference; for a text the reference is empty and the text is the answer. A record that cannot be
    converted is reported and left out as a whole; conversion goes on.

    Args:
        name_or_path (`str`):
            A file, a folder, or a data set on the Hub.
        source (`str`):
            Format of its records, a key of [`SOURCES`].
        split (`str`, *optional*, defaults to `"train"`):
            Split of a data set on the Hub, or of a folder whose files or subfolders are named after splits.
        config (`str`, *optional*):
            Configuration of a data set on the Hub.
        on_skip (`Callable`, *optional*):
            Called with each [`Skipped`]; logs a warning by default.
        **options:
            Options of the source: `keep_system` (`bool`) for `toolace`, `hermes`, `sharegpt`, `apigen_mt` and
            `messages`; `reference` (`"exact"` or `"bfcl"`) and `categories` for `bfcl`.

    Returns:
        [`Conversion`]:
            The rows, each with `prompt`, `tools`, `reference`, `answer`, `id` and `source`; counts stand in its
            attributes.

    Raises:
        FileNotFoundError: If `name_or_path` looks like a file and there is none.
        ValueError: If the source or an option is unknown.

    Example:

    ```python
    from datasets import IterableDataset
    from egpo_trl.data.loading import ROW_FEATURES
    from egpo_trl.data.sources import convert

    rows = convert("Salesforce/xlam-function-calling-60k", source="xlam")
    dataset = IterableDataset.from_generator(lambda: iter(rows), features=ROW_FEATURES)
    ```
    """
    if source not in SOURCES:
        raise ValueError(f"source must be one of {tuple(SOURCES)}, got {source!r}.")
    records.check_exists(name_or_path)
    module = SOURCES[source]
    reader = getattr(module, "read_records", records.read_records)
    reading: dict[str, Any] = {"split": split, "config": config}
    converting: dict[str, Any] = {}
    for name, value in options.items():
        if name in list(inspect.signature(module.convert_record).parameters)[1:]:
            converting[name] = value
        elif name in list(inspect.signature(reader).parameters)[3:]:
            reading[name] = value
        else:
            raise ValueError(f"the source {source!r} has no option {name!r}.")
    if converting.get("reference", "exact") not in bfcl.REFERENCES:
        raise ValueError(f"reference must be one of {bfcl.REFERENCES}, got {converting['reference']!r}.")
    return Conversion(source, partial(reader, name_or_path, **reading), converting, on_skip)
