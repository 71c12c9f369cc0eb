"""The canonical row, and the checks that every row passes before anything is trained or evaluated on it.

A row has a `prompt` (messages, or a rendered string), `tools` and `reference` (JSON strings: Arrow would pad differing
structs with nulls), and optionally `answer` (the text where the reference is empty), `id` and `source`.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..tool_calls.calls import MAX_CHARACTERS, MAX_DEPTH, parse_reference, parse_row_tools, parse_tools

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

logger = logging.getLogger(__name__)

BAD_ROWS = ("error", "drop", "keep")
BAD_ROWS_HELP = (
    "Rows that cannot be rendered, earned or checked by their schemas: 'error' ends the run and names them, 'drop' leaves "
    "them out with a warning, 'keep' only warns."
)
_MAX_NAMED = 5  # bad rows that a message names one by one
_MAX_RECENT = 256
Schemas = Mapping[str, Mapping[str, Any]]


class _Reader:
    """Reads a JSON column, and remembers the last texts: several checks read the same one."""

    def __init__(self, parse: Callable[[Any], Any]) -> None:
        self._parse = parse
        self.recent: dict[str, Any] = {}

    def __call__(self, column: Any) -> Any:
        found = self.recent.get(column) if isinstance(column, str) else None
        if found is None:
            found = self._parse(column)
            if isinstance(column, str):
                self._remember(column, found)
        return found

    def written(self, text: str, value: Any) -> None:
        """Remember what was just written, unless only reading it checks its bounds."""
        if len(text) <= MAX_CHARACTERS and text.isascii() and text.count("{") + text.count("[") <= MAX_DEPTH:
            self._remember(text, value)

    def _remember(self, text: str, value: Any) -> None:
        if len(self.recent) >= _MAX_RECENT:
            self.recent.clear()
        self.recent[text] = value


read_reference: _Reader = _Reader(parse_reference)  # calls
read_schemas: _Reader = _Reader(lambda tools: parse_tools(parse_row_tools(tools)))  # parameter schemas by name


class Problem(NamedTuple):
    """What is wrong with a row: a code to count by, and words."""

    reason: str
    words: str


Check = Callable[[Mapping[str, Any]], Problem | None]


def _check_prompt(prompt: Any) -> None:
    if isinstance(prompt, str) and prompt:
        return
    if not isinstance(prompt, list) or not prompt:
        raise ValueError("must be a non-empty string or list of messages")
    for position, message in enumerate(prompt):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ValueError(f"message {position} must be an object with a 'role' and a 'content'")
        content, calls = message.get("content"), message.get("tool_calls")
        if content is None and not calls:
            raise ValueError(f"message {position} has neither 'content' nor 'tool_calls'")
        if not isinstance(content, str | list | None):
            raise ValueError(f"message {position}: 'content' must be a text or a list of parts")
        for call in calls if isinstance(calls, list) else [calls] if calls else ():
            function = call.get("function") if isinstance(call, Mapping) else None
            name = function.get("name") if isinstance(function, Mapping) else None
            if not isinstance(name, str) or not name:
                raise ValueError(f"message {position}: a call must be {{'function': {{'name', 'arguments'}}}}")


def _check_reference(reference: Any) -> None:
    if not isinstance(reference, str):
        raise ValueError(f"must be a JSON string, got {type(reference).__name__}; store json.dumps(calls)")
    read_reference(reference)


def _check_answer(answer: Any) -> None:
    if not isinstance(answer, str | None):
        raise ValueError(f"must be a text or null, got {type(answer).__name__}")


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "prompt": _check_prompt,
    "tools": read_schemas,
    "reference": _check_reference,
    "answer": _check_answer,
}
_UNREAD = ("reference", "answer")  # by a training run with a reward of one's own: they may be anything there


def row_problem(row: Mapping[str, Any], index: int, fields: Iterable[str]) -> str | None:
    """What is malformed in a row, as a sentence that names the row, its id and the field; `None` for a row in order."""
    problem = _malformed(row, fields)
    return None if problem is None else f"{_name_of(row, index)}, {problem.words}"


def _malformed(row: Mapping[str, Any], fields: Iterable[str]) -> Problem | None:
    for name in fields:
        try:
            if name not in row:
                raise ValueError("is missing")
            _CHECKS[name](row[name])
        except (ValueError, RecursionError) as error:
            return Problem("malformed", f"field {name!r}: {error}")
    return None


def _name_of(row: Mapping[str, Any], index: int) -> str:
    return f"row {index}" + (f" (id {row['id']!r})" if row.get("id") is not None else "")


def _checked_fields(columns: Collection[str], required: Collection[str]) -> list[str]:
    """Fields to check: those required, and those of a fixed form that are there."""
    return [field for field in _CHECKS if field in required or (field in columns and field not in _UNREAD)]


def column_names_of(dataset: "Dataset | IterableDataset") -> list[str]:
    """Columns of a data set; those of its first row where only that tells: with a transform, or in a stream."""
    if dataset.column_names is not None and not _is_transformed(dataset):
        return list(dataset.column_names)
    return list(next(iter(dataset), {}))


def _is_transformed(dataset: Any) -> bool:
    return bool((getattr(dataset, "format", None) or {}).get("type") == "custom")


def rows_with(dataset: "Dataset", columns: Sequence[str]) -> "Dataset":
    """Rows with some of their columns, so that images stay undecoded; with all of them where a transform makes them."""
    return dataset if _is_transformed(dataset) else dataset.select_columns(list(columns))


def check_columns(dataset: "Dataset | IterableDataset", name: str, required: Collection[str]) -> None:
    """Raise a `ValueError` if a data set lacks a column."""
    columns = column_names_of(dataset)
    missing = [column for column in required if column not in columns]
    if missing:
        raise ValueError(
            f"{name} lacks the column {missing[0]!r} and has only {list(columns)}. A row needs a `prompt` "
            "(messages), `tools` and `reference` (JSON strings)."
        )


class BadRows:
    """The rows of a data set that checks found fault with: name and problem of each, by position."""

    def __init__(self, name: str, num_rows: int, found: Mapping[int, tuple[str, Problem]]) -> None:
        self.found = dict(sorted(found.items()))
        self._name, self._num_rows = name, num_rows

    def __str__(self) -> str:
        count = len(self.found)
        reasons = Counter(problem.reason for _, problem in self.found.values())
        counted = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        share = f"{count:,} of {self._num_rows:,} rows ({count / self._num_rows:.1%})"
        lines = [f"{row}, {problem.words}" for row, problem in list(self.found.values())[:_MAX_NAMED]]
        lines += [f"… and {count - _MAX_NAMED:,} more"] if count > _MAX_NAMED else []
        return "\n  ".join([f"{self._name}: {share} cannot be used as they are: {counted}", *lines])

    def apply(self, dataset: "Dataset", bad_rows: str) -> "Dataset":
        """The rows left under a policy; a `ValueError` under `"error"`, for malformed rows under `"keep"`, and for none."""
        if bad_rows not in BAD_ROWS:
            raise ValueError(f"bad_rows must be one of {BAD_ROWS}, got {bad_rows!r}.")
        if not self.found:
            return dataset
        malformed = any(problem.reason == "malformed" for _, problem in self.found.values())
        if bad_rows == "error" or (bad_rows == "keep" and malformed):
            keep = "" if malformed else ", 'keep' to use them all the same"
            raise ValueError(f"{self}\nFix or remove them, or set bad_rows: 'drop' to leave them out{keep}.")
        if bad_rows == "drop" and len(self.found) == len(dataset):
            raise ValueError(f"{self}\nNo row is left.")
        logger.warning("%s\nThey are %s (bad_rows: %s).", self, "left out" if bad_rows == "drop" else "used", bad_rows)
        if bad_rows == "keep":
            return dataset
        return dataset.select([index for index in range(len(dataset)) if index not in self.found])


def find_bad_rows(
    dataset: "Dataset",
    required: Collection[str],
    checks: Sequence[Check] = (),
    columns: Collection[str] = (),
    share: tuple[int, int] = (0, 1),
) -> dict[int, tuple[str, Problem]]:
    """Check the rows of a data set: name and first problem of each bad one, by position."""
    names = column_names_of(dataset) if len(dataset) else []
    fields = _checked_fields(names, required)
    read = [name for name in names if name in {*fields, "id", *columns}]
    positions = range(share[0], len(dataset), share[1])
    rows = rows_with(dataset, read) if share[1] == 1 else rows_with(dataset, read).select(positions)
    found = {}
    for position, row in zip(positions, rows, strict=True):
        problem = _first_problem(row, fields, checks)
        if problem is not None:
            found[position] = (_name_of(row, position), problem)
    return found


def _first_problem(row: Mapping[str, Any], fields: Iterable[str], checks: Sequence[Check]) -> Problem | None:
    problem = _malformed(row, fields)
    if problem is not None:
        return problem
    for check in checks:
        try:
            problem = check(row)
        except (RecursionError, KeyError, TypeError, AttributeError, IndexError) as error:
            problem = Problem("malformed", f"it cannot be read: {type(error).__name__}: {error}")
        if problem is not None:
            return problem
    return None


def check_rows(
    dataset: "Dataset",
    name: str,
    required: Collection[str],
    checks: Sequence[Check] = (),
    bad_rows: str = "error",
    columns: Collection[str] = ("prompt", "tools", "reference", "answer"),
) -> "Dataset":
    """The rows of a data set that pass every check, or all of them, by the policy `bad_rows` (one of [`BAD_ROWS`])."""
    check_columns(dataset, name, required)
    return BadRows(name, len(dataset), find_bad_rows(dataset, required, checks, columns)).apply(dataset, bad_rows)


def skip_bad_rows(
    dataset: "IterableDataset", name: str, required: Collection[str], checks: Sequence[Check] = ()
) -> "IterableDataset":
    """A stream without its bad rows, each of which gives a warning when the stream reaches it."""

    def is_good(row: Mapping[str, Any], index: int) -> bool:
        problem = _first_problem(row, _checked_fields(row, required), checks)
        if problem is not None:
            logger.warning("%s: skipped %s, %s", name, _name_of(row, index), problem.words)
        return problem is None

    return dataset.filter(is_good, with_indices=True)
