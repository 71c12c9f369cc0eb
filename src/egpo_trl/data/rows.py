"""The canonical row, and the checks that a data set passes before a training run starts.

A row has a `prompt` (messages, or a rendered string), `tools` and `reference` (JSON strings: Arrow would pad differing
structs with nulls), and optionally `answer` (the text where the reference is empty), `id` and `source`.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..tool_calls.calls import parse_reference, parse_row_tools

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

logger = logging.getLogger(__name__)

_MAX_NAMED = 5  # bad rows that an error names one by one


def _check_prompt(prompt: Any) -> None:
    if isinstance(prompt, str) and prompt:
        return
    if not isinstance(prompt, list) or not prompt:
        raise ValueError("must be a non-empty string or list of messages")
    for position, message in enumerate(prompt):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ValueError(f"message {position} must be an object with a 'role' and a 'content'")
        if message.get("content") is None and not message.get("tool_calls"):
            raise ValueError(f"message {position} has neither 'content' nor 'tool_calls'")


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
    """
    What is wrong with a row.

    Args:
        row (`Mapping[str, Any]`):
            Row of a data set.
        index (`int`):
            Its position, for the message.
        fields (`Iterable[str]`):
            Fields to check, among `"prompt"`, `"tools"`, `"reference"` and `"answer"`.

    Returns:
        `str` or `None`:
            A sentence that names the row, its id and the field, or `None` for a row in order.
    """
    for name in fields:
        try:
            if name not in row:
                raise ValueError("is missing")
            _CHECKS[name](row[name])
        except (ValueError, RecursionError) as error:
            row_id = f" (id {row['id']!r})" if row.get("id") is not None else ""
            return f"row {index}{row_id}, field {name!r}: {error}"
    return None


def _checked_fields(columns: Collection[str], required: Collection[str]) -> list[str]:
    """Fields to check: those required, and those of a fixed form that are there."""
    return [field for field in _CHECKS if field in required or (field in columns and field not in _UNREAD)]


def column_names_of(dataset: "Dataset | IterableDataset") -> list[str]:
    """
    Columns that the rows of a data set have.

    Args:
        dataset ([`~datasets.Dataset`] or [`~datasets.IterableDataset`]):
            Rows.

    Returns:
        `list[str]`:
            Its column names; those of the first row where only that tells: with a transform, or in a stream from a
            generator. Empty for a stream without rows.
    """
    if dataset.column_names is not None and not _is_transformed(dataset):
        return list(dataset.column_names)
    return list(next(iter(dataset), {}))


def _is_transformed(dataset: Any) -> bool:
    return bool((getattr(dataset, "format", None) or {}).get("type") == "custom")


def rows_with(dataset: "Dataset", columns: Sequence[str]) -> "Dataset":
    """
    The rows of a data set with some of their columns, so that images are left undecoded.

    Args:
        dataset ([`~datasets.Dataset`]):
            Rows.
        columns (`Sequence[str]`):
            Columns that the rows have.

    Returns:
        [`~datasets.Dataset`]:
            Rows with these columns; with all of them where a transform makes them.
    """
    return dataset if _is_transformed(dataset) else dataset.select_columns(list(columns))


def _check_columns(columns: Collection[str], name: str, required: Collection[str]) -> None:
    missing = [column for column in required if column not in columns]
    if missing:
        raise ValueError(
            f"{name} has no column {missing[0]!r}, only {list(columns)}. A row needs a `prompt` (messages), `tools` and "
            "`reference` (JSON strings)."
        )


def _raise_for(problems: Iterable[str | None], name: str) -> None:
    """Raise one `ValueError` that counts the problems and names the first ones."""
    found = [problem for problem in problems if problem is not None]
    if found:
        more = f"\n  … and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
        raise ValueError(
            f"{name} has {len(found)} malformed row{'s' if len(found) > 1 else ''}:\n  "
            + "\n  ".join(found[:_MAX_NAMED])
            + more
            + "\nMend or drop them before training."
        )


def check_rows(dataset: "Dataset", name: str, required: Collection[str]) -> None:
    """
    Check every row of a data set before it is trained on.

    Args:
        dataset ([`~datasets.Dataset`]):
            Rows.
        name (`str`):
            What to call the data set in the message.
        required (`Collection[str]`):
            Columns that must be there: `"prompt"` unless an environment writes it, `"reference"` if a reward compares
            against it.

    Raises:
        ValueError: If a column is missing or a row is malformed; the message names up to five rows.
    """
    columns = column_names_of(dataset)
    _check_columns(columns, name, required)
    fields = _checked_fields(columns, required)
    kept = [*fields, "id"] if "id" in columns else fields
    rows = rows_with(dataset, kept)
    _raise_for((row_problem(row, index, fields) for index, row in enumerate(rows)), name)


def check_rendering(dataset: "Dataset", name: str, render: Callable[[Mapping[str, Any]], Any]) -> None:
    """
    Render every row of a data set once, so that no chat template refuses one in the middle of a run.

    Args:
        dataset ([`~datasets.Dataset`]):
            Rows.
        name (`str`):
            What to call the data set in the message.
        render (`Callable`):
            Renders a row; raises what the template raises.

    Raises:
        ValueError: If a row cannot be rendered; the message names up to five.
    """

    def problem(row: Mapping[str, Any], index: int) -> str | None:
        try:
            render(row)
        except Exception as error:  # templates raise errors of any kind
            row_id = f" (id {row['id']!r})" if row.get("id") is not None else ""
            return f"row {index}{row_id}: the chat template does not render it: {type(error).__name__}: {error}"
        return None

    columns = column_names_of(dataset)
    kept = [column for column in ("prompt", "tools", "environment", "id") if column in columns]
    rows = rows_with(dataset, kept)
    _raise_for((problem(row, index) for index, row in enumerate(rows)), name)


def skip_bad_rows(dataset: "IterableDataset", name: str, required: Collection[str]) -> "IterableDataset":
    """
    Leave the malformed rows out of a stream, each with a warning, when the stream reaches them.

    Args:
        dataset ([`~datasets.IterableDataset`]):
            Rows.
        name (`str`):
            What to call the data set in the warning.
        required (`Collection[str]`):
            Columns that must be there: `"prompt"` unless an environment writes it, `"reference"` if a reward compares
            against it.

    Returns:
        [`~datasets.IterableDataset`]:
            The rows that are in order.

    Raises:
        ValueError: If a column is missing.
    """
    _check_columns(column_names_of(dataset), name, required)

    def is_good(row: Mapping[str, Any], index: int) -> bool:
        problem = row_problem(row, index, _checked_fields(row, required))
        if problem is not None:
            logger.warning("%s: skipped %s", name, problem)
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
