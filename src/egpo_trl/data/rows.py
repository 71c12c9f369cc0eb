"""The canonical row, and the checks that every row passes before anything is trained or evaluated on it.

A row has a `prompt` (messages, or a rendered string), `tools` and `reference` (JSON strings: Arrow would pad differing
structs with nulls), and optionally `answer` (the text where the reference is empty), `id` and `source`.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..tool_calls.calls import parse_reference, parse_row_tools

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

logger = logging.getLogger(__name__)

BAD_ROWS = ("error", "drop", "keep")
BAD_ROWS_HELP = (
    "What happens to rows that cannot be rendered whole, whose own reference earns no reward, or whose reference breaks "
    "its functions' schemas. 'error': the run ends and names them. 'drop': they are left out, with a warning that counts "
    "them. 'keep': the warning only."
)
_MAX_NAMED = 5  # bad rows that a message names one by one


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
    parse_reference(reference)


def _check_answer(answer: Any) -> None:
    if not isinstance(answer, str | None):
        raise ValueError(f"must be a text or null, got {type(answer).__name__}")


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "prompt": _check_prompt,
    "tools": parse_row_tools,
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


def _check_columns(columns: Collection[str], name: str, required: Collection[str]) -> None:
    missing = [column for column in required if column not in columns]
    if missing:
        raise ValueError(
            f"{name} has no column {missing[0]!r}, only {list(columns)}. A row needs a `prompt` (messages), `tools` and "
            "`reference` (JSON strings)."
        )


class BadRows:
    """
    The rows of a data set that checks found fault with.

    Args:
        name (`str`): What to call the data set.
        num_rows (`int`): Rows that were checked.
        found (`dict[int, tuple[str, Problem]]`): Name and problem of each bad row, by position.
    """

    def __init__(self, name: str, num_rows: int, found: Mapping[int, tuple[str, Problem]]) -> None:
        self.found = found
        self._name, self._num_rows = name, num_rows

    def __str__(self) -> str:
        count = len(self.found)
        reasons = Counter(problem.reason for _, problem in self.found.values())
        lines = [f"{row}, {problem.words}" for row, problem in list(self.found.values())[:_MAX_NAMED]]
        lines += [f"… and {count - _MAX_NAMED} more"] if count > _MAX_NAMED else []
        counted = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        return "\n  ".join(
            [
                f"{self._name} has {count} bad rows of {self._num_rows} ({count / self._num_rows:.1%}): {counted}",
                *lines,
            ]
        )

    def apply(self, dataset: "Dataset", bad_rows: str) -> "Dataset":
        """
        The rows that are left under a policy.

        Raises:
            ValueError: If the policy is `"error"`, if none is left, or if a malformed row would be kept.
        """
        if not self.found:
            return dataset
        malformed = any(problem.reason == "malformed" for _, problem in self.found.values())
        if bad_rows == "error" or (bad_rows == "keep" and malformed):
            keep = "" if malformed else ", or to 'keep' to use them as they are"
            raise ValueError(f"{self}\nFix or remove them, or set bad_rows to 'drop' to leave them out{keep}.")
        if bad_rows == "drop" and len(self.found) == len(dataset):
            raise ValueError(f"{self}\nNo row is left.")
        logger.warning("%s\nThey are %s.", self, "left out" if bad_rows == "drop" else "kept")
        if bad_rows == "keep":
            return dataset
        return dataset.select([index for index in range(len(dataset)) if index not in self.found])


def find_bad_rows(
    dataset: "Dataset", name: str, required: Collection[str], checks: Sequence[Check] = (), columns: Sequence[str] = ()
) -> BadRows:
    """
    Check every row of a data set.

    Args:
        dataset ([`~datasets.Dataset`]):
            Rows.
        name (`str`):
            What to call the data set in messages.
        required (`Collection[str]`):
            Columns that must be there: `"prompt"` unless an environment writes it, `"reference"` if a reward compares
            against it.
        checks (`Sequence[Callable]`, *optional*):
            Further checks of a row that is not malformed; the first problem counts.
        columns (`Sequence[str]`, *optional*):
            Columns that these checks read beside those of the canonical row.

    Raises:
        ValueError: If a column is missing.
    """
    names = column_names_of(dataset)
    _check_columns(names, name, required)
    fields = _checked_fields(names, required)
    read = {*fields, *required, "id", "answer", "reference", "environment", *columns}
    found = {}
    for index, row in enumerate(rows_with(dataset, [column for column in names if column in read])):
        problem = _malformed(row, fields)
        for check in checks if problem is None else ():
            problem = problem or check(row)
        if problem is not None:
            found[index] = (_name_of(row, index), problem)
    return BadRows(name, len(dataset), found)


def check_rows(
    dataset: "Dataset",
    name: str,
    required: Collection[str],
    checks: Sequence[Check] = (),
    bad_rows: str = "error",
    columns: Sequence[str] = (),
) -> "Dataset":
    """The rows of a data set that [`find_bad_rows`] finds no fault with; under `"error"` any other is an error."""
    if bad_rows not in BAD_ROWS:
        raise ValueError(f"bad_rows must be one of {BAD_ROWS}, got {bad_rows!r}.")
    return find_bad_rows(dataset, name, required, checks, columns).apply(dataset, bad_rows)


def skip_bad_rows(
    dataset: "IterableDataset", name: str, required: Collection[str], checks: Sequence[Check] = ()
) -> "IterableDataset":
    """A stream without its bad rows, each of which gives a warning when the stream reaches it."""
    _check_columns(column_names_of(dataset), name, required)

    def is_good(row: Mapping[str, Any], index: int) -> bool:
        problem = _malformed(row, _checked_fields(row, required))
        for check in checks if problem is None else ():
            problem = problem or check(row)
        if problem is not None:
            logger.warning("%s: skipped %s, %s", name, _name_of(row, index), problem.words)
        return problem is None

    return dataset.filter(is_good, with_indices=True)


def check_datasets(train: Any, evaluation: Any, required: Collection[str]) -> tuple[Any, Any]:
    """
    Check the data sets of a trainer: [`check_rows`] for data sets in memory, [`skip_bad_rows`] for streams.

    Args:
        train ([`~datasets.Dataset`] or [`~datasets.IterableDataset`], *optional*):
            Training rows.
        evaluation ([`~datasets.Dataset`], [`~datasets.IterableDataset`] or `dict` of them, *optional*):
            Rows to evaluate on.
        required (`Collection[str]`):
            Columns that must be there: `"prompt"` unless an environment writes it, `"reference"` if a reward compares
            against it.

    Returns:
        `tuple`:
            Both, with streams that skip malformed rows.

    Raises:
        ValueError: As [`check_rows`].
    """
    from datasets import Dataset, IterableDataset

    def check(dataset: Any, name: str) -> Any:
        if isinstance(dataset, dict):
            return type(dataset)({key: check(value, f"{name}[{key!r}]") for key, value in dataset.items()})
        if isinstance(dataset, IterableDataset):
            return skip_bad_rows(dataset, name, required)
        if isinstance(dataset, Dataset):
            check_rows(dataset, name, required)
        return dataset

    return check(train, "train_dataset"), check(evaluation, "eval_dataset")
