"""Converts records of public function-calling data sets, and of users' own, to the canonical row.

Each module of this folder with `recognise` and `convert_record` is a source: adding a source is adding one file.
[`convert`] streams, so memory does not grow with the number of records.
"""

import inspect
import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

from .. import records
from ..records import Record, Unconvertible, UnknownOption
from ..rows import read_reference, read_schemas, row_problem
from .bfcl import REFERENCES
from .conversation import Row, dump_json
from .detection import SOURCES, UnknownFormat, check_source, detect, discover, in_known_case, recognise, recognise_path

__all__ = ["SOURCES", "Conversion", "Skipped", "UnknownFormat", "convert", "discover", "recognise"]

logger = logging.getLogger(__name__)

FIELD_OPTIONS = ("messages", "tools", "answers")
_FIELDS = ("prompt", "tools", "answer")
_PEEKED = 100  # records that the format is told from


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
    """Canonical rows of a data set, to be iterated over; made by [`convert`]. Each iteration starts again."""

    def __init__(
        self,
        source: str | None,
        read: Callable[[str | None], Iterator[Record | Unconvertible]],
        options: Mapping[str, Any],
        on_skip: Callable[[Skipped], None],
        fields: Mapping[str, str] | None = None,
        tools: Any = None,
    ) -> None:
        self._source = source
        self._read = read
        self._options = options
        self._on_skip = on_skip
        self._fields = dict(fields or {})
        self._tools = tools
        self._accepted: dict[str, dict[str, Any]] = {}  # options by source
        self._reset()

    def _reset(self) -> None:
        self.num_records = 0
        self.num_rows = 0
        self.skipped: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()

    @cached_property
    def found(self) -> dict[str, str]:
        """Sources of the first records, each with the reason that it was recognised for."""
        peeked = list(islice(self._read(self._source), _PEEKED))
        given = [each for each in peeked if not isinstance(each, Unconvertible)]
        for path in self._fields.values():
            if given and all(_at(each, path) is None for each in given):
                raise UnknownFormat(f"no record has the field {path!r}.")
        first = [self._renamed(each, self._source) for each in given]
        if self._source is not None:
            return check_source(self._source, first)
        if not first:
            told = next((f"none can be read: {each.reason}" for each in peeked if isinstance(each, Unconvertible)), "")
            raise UnknownFormat(told or "the file is without records.")
        found = detect(first)
        _check_options(self._options, found)
        return found

    @property
    def _reader(self) -> str | None:
        """The source whose own reader is used: the one named, or the only one found."""
        if self._source is not None:
            return self._source
        return next(iter(self.found)) if len(self.found) == 1 else None

    def __iter__(self) -> Iterator[Row]:
        self._reset()
        _ = self.found
        for index, record in enumerate(self._read(self._reader)):
            self.num_records += 1
            record_id = None
            try:
                if isinstance(record, Unconvertible):
                    raise record
                record_id = _id_of(record)
                record = self._renamed(record, self._source)
                source = self._source or recognise(record)[0]
            except Unconvertible as error:
                self._skip(index, error, record_id)
                continue
            parts = getattr(SOURCES[source], "parts", None)
            number = 0
            for part in parts(record) if parts else (record,):
                try:
                    rows = self._rows(source, part, record_id or f"{source}-{index}", number if parts else None)
                except Unconvertible as error:
                    self._skip(index, error, record_id)
                    continue
                except RecursionError:
                    self._skip(index, Unconvertible("record", "is nested too deeply"), record_id)
                    continue
                number += len(rows)
                self.num_rows += len(rows)
                yield from rows
            self.sources[source] += 1

    def _renamed(self, record: Record, source: str | None) -> Record:
        """A record with the fields that options name under the names that the source reads, and with `tools` if given."""
        given = record
        record = record if source else in_known_case(record)
        if not self._fields and self._tools is None:
            return record
        known = getattr(SOURCES[source], "RENAMED", {}) if source else {}
        changed = {known.get(kind, kind): _at(given, path) for kind, path in self._fields.items()}
        name = known.get("tools", "tools")
        if self._tools is not None and not changed.get(name, record.get(name)):
            changed[name] = self._tools
        return {**record, **changed}

    def _rows(self, source: str, record: Record, record_id: str, number: int | None) -> list[Row]:
        accepted = self._accepted.get(source)
        if accepted is None:
            names = _options_of(source)[0]
            accepted = {name: value for name, value in self._options.items() if name in names}
            self._accepted[source] = accepted
        rows: list[Row] = SOURCES[source].convert_record(record, **accepted)
        for step, row in enumerate(rows):
            _check(row)
            if number is not None:
                row["id"] = f"{record_id}-{number + step}"
            else:
                row["id"] = record_id if len(rows) == 1 else f"{record_id}-{step}"
            row["source"] = source
        return rows

    def _skip(self, index: int, error: Unconvertible, record_id: str | None) -> None:
        skipped = Skipped(index, error.field or "record", error.reason, record_id)
        self.skipped[skipped.field] += 1
        reason = f"field {skipped.field!r}: {skipped.reason}"
        if reason in self.reasons or len(self.reasons) < 1000:
            self.reasons[reason] += 1
        self._on_skip(skipped)


def _at(record: Any, path: str) -> Any:
    """Value of a field, or of one inside it: `metadata.tools`, also where `metadata` is JSON text."""
    if isinstance(record, Mapping) and path in record:
        return record[path]
    name, _, rest = path.partition(".")
    if not rest or not isinstance(record, Mapping) or record.get(name) is None:
        return None
    value = record[name]
    if isinstance(value, str):
        from ..function_text import load_long_json

        try:
            value = load_long_json(value)
        except ValueError:
            return None
    return _at(value, rest)


def _id_of(record: Mapping[str, Any]) -> str | None:
    value = record.get("id")
    if not isinstance(value, (str, int)):
        value = record.get("uuid")
    text = str(value)[:200] if isinstance(value, (str, int)) else ""
    return text.encode("utf-8", "replace").decode() or None  # a lone surrogate could not be written


def _check(row: Row) -> None:
    """What is given can be trained on: it passes the checks of rows, calls what it offers, and can be written as UTF-8."""
    problem = row_problem(row, 0, _FIELDS)
    if problem is not None:
        field, reason = problem.split(", field ", 1)[1].split(": ", 1)
        raise Unconvertible(field.strip("'"), reason)
    try:
        calls = read_reference(row["reference"])
    except ValueError as error:
        raise Unconvertible("reference", str(error)) from None
    offered = read_schemas(row["tools"])
    unknown = next((call.name for call in calls if call.name not in offered), None)
    if unknown is not None:
        told = "which is not among the functions" if offered else "and the record offers no function"
        raise Unconvertible("reference", f"calls {unknown[:60]!r}, {told}")
    for field, texts in (("prompt", _texts_of(row["prompt"])), ("answer", (row["answer"] or "",))):
        try:
            "".join(texts).encode()
        except UnicodeEncodeError:
            raise Unconvertible(field, "holds a lone surrogate") from None


def _texts_of(prompt: list[dict[str, Any]]) -> list[str]:
    """All texts in messages."""
    return [value if isinstance(value, str) else dump_json(value) for message in prompt for value in message.values()]


def _warn(skipped: Skipped) -> None:
    logger.warning("skipped %s", skipped)


def convert(
    name_or_path: str | Path,
    source: str | None = None,
    *,
    split: str = "train",
    config: str | None = None,
    fields: Mapping[str, str] | None = None,
    tools: Any = None,
    on_skip: Callable[[Skipped], None] = _warn,
    **options: Any,
) -> Conversion:
    """
    Convert a data set to canonical rows.

    A conversation becomes one row for each assistant step after a user message: the history is the prompt, the calls
    of the step are the reference; for a text the reference is empty and the text is the answer. A record that cannot be
    converted is reported and left out as a whole; the others are converted.

    Args:
        name_or_path (`str` or `Path`):
            A file, a folder, or a data set on the Hub.
        source (`str`, *optional*):
            Form of its records, a key of [`SOURCES`]. By default each record's form is recognised by its fields.
        split (`str`, *optional*, defaults to `"train"`):
            Split of a data set on the Hub, or of a folder whose files or subfolders are named after splits.
        config (`str`, *optional*):
            Configuration of a data set on the Hub.
        fields (`Mapping[str, str]`, *optional*):
            Names of the fields that hold `"messages"`, `"tools"` and `"answers"` where a data set calls them otherwise;
            `"metadata.tools"` is a field inside another.
        tools (`Any`, *optional*):
            Functions for records without any: a JSON file, or a list of schemas.
        on_skip (`Callable`, *optional*):
            Called with each [`Skipped`]; logs a warning by default.
        **options:
            Options of the source: `keep_system` (`bool`) for those with system messages; `reference` (`"exact"` or
            `"bfcl"`) and `categories` for `bfcl`; `catalogue`, `num_tools`, `stated_only` and `no_call_share` for
            `seal_tools`.

    Returns:
        [`Conversion`]:
            The rows, each with `prompt`, `tools`, `reference`, `answer`, `id` and `source`; its attributes hold counts.

    Raises:
        FileNotFoundError: If `name_or_path` looks like a file and does not exist.
        ValueError: If the source or an option is unknown; when the rows are read also [`UnknownFormat`], if the records are
            of no known form or of another than the source's.

    Example:

    ```python
    from datasets import IterableDataset
    from egpo_trl.data.loading import ROW_FEATURES
    from egpo_trl.data.sources import convert

    rows = convert("Salesforce/xlam-function-calling-60k")
    dataset = IterableDataset.from_generator(lambda: iter(rows), features=ROW_FEATURES)
    ```
    """
    name_or_path = str(name_or_path)
    if source is not None and source not in SOURCES:
        raise ValueError(f"source must be one of {tuple(sorted(SOURCES))}, got {source!r}.")
    records.check_exists(name_or_path)
    unknown = [name for name in fields or {} if name not in FIELD_OPTIONS]
    if unknown:
        raise ValueError(f"fields must name {', '.join(FIELD_OPTIONS)}, got {unknown[0]!r}.")
    at_path = recognise_path(name_or_path) if source is None else {}
    source = next(iter(at_path), source)
    if source is not None:
        _check_options(options, [source])
    if options.get("reference", "exact") not in REFERENCES:
        raise ValueError(f"reference must be one of {REFERENCES}, got {options['reference']!r}.")
    reading = partial(_read, name_or_path, split, config, options)
    conversion = Conversion(source, reading, options, on_skip, fields, _load_tools(tools))
    if at_path:
        conversion.found = at_path
    return conversion


def _options_of(source: str) -> tuple[set[str], set[str]]:
    """Options of a source's `convert_record`, and of its reader."""
    module = SOURCES[source]
    reader = getattr(module, "read_records", records.read_records)
    converting = list(inspect.signature(module.convert_record).parameters)[1:]
    return set(converting), set(list(inspect.signature(reader).parameters)[3:])


def _check_options(options: Mapping[str, Any], sources: Collection[str]) -> None:
    for name in options:
        if not any(name in names for source in sources for names in _options_of(source)):
            raise UnknownOption(f"the source {' or '.join(map(repr, sources))} has no option {name!r}.")


def _read(
    name_or_path: str, split: str, config: str | None, options: Mapping[str, Any], source: str | None
) -> Iterator[Record | Unconvertible]:
    """Records, by the reader of a source where it has one."""
    reader = getattr(SOURCES[source], "read_records", records.read_records) if source else records.read_records
    accepted = _options_of(source)[1] if source else ()
    reading = {name: value for name, value in options.items() if name in accepted}
    found: Iterator[Record | Unconvertible] = reader(name_or_path, split, config, **reading)
    return found


def _load_tools(tools: Any) -> Any:
    if not isinstance(tools, (str, Path)):
        return tools if tools is None else json.loads(dump_json(tools))
    from ..function_text import read_functions

    try:
        return read_functions(Path(tools).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"tools: {str(tools)!r} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ValueError(f"tools: {str(tools)!r} does not hold function schemas: {error}.") from None
