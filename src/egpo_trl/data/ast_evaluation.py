"""AST evaluation of rows: the second stage of the paper's data cleaning. Does the reference fit the functions?"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..tool_calls.calls import parse_reference, parse_row_tools, parse_tools
from .argument_schema import Arguments, InvalidSchema
from .rows import Problem, row_problem

REASONS = (
    "malformed_prompt", "malformed_tools", "malformed_reference", "invalid_schema", "call_needed", "call_not_needed",
    "unknown_function", "missing_argument", "unexpected_argument", "wrong_type", "wrong_value", "too_large",
)  # fmt: skip


class _Functions:
    """Functions of one `tools` column, each compiled when a call first needs it."""

    def __init__(self, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self.schemas = schemas
        self._compiled: dict[str, Arguments] = {}

    def arguments(self, name: str) -> Arguments:
        if name not in self._compiled:
            self._compiled[name] = Arguments(self.schemas[name])
        return self._compiled[name]


@lru_cache(maxsize=256)
def _functions(tools: str) -> _Functions:
    return _Functions(parse_tools(parse_row_tools(tools)))


def evaluate_row(row: Mapping[str, Any], call_needed: bool | None = None) -> str | None:
    """
    Evaluate the reference of a row against its functions.

    Args:
        row (`Mapping[str, Any]`):
            Canonical row.
        call_needed (`bool`, *optional*):
            Whether the query needs a call, where somebody knows: a judge, or the benchmark. A row without functions
            never needs one.

    Returns:
        `str` or `None`:
            `None` for a row in order, else one of [`REASONS`].

    Example:

    ```python
    >>> from egpo_trl.data.ast_evaluation import evaluate_row
    >>> row = {
    ...     "prompt": [{"role": "user", "content": "Weather in Rome?"}],
    ...     "tools": '[{"name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}}]',
    ...     "reference": '[{"name": "weather", "arguments": {"city": 7}}]',
    ... }
    >>> evaluate_row(row)
    'wrong_type'
    ```
    """
    if row_problem(row, 0, ("prompt",)) is not None:
        return "malformed_prompt"
    tools = row.get("tools")
    try:
        functions = _functions("[]" if tools is None else tools)
    except (ValueError, TypeError, AttributeError):
        return "malformed_tools"
    try:
        reference = row.get("reference")
        calls = parse_reference(reference if isinstance(reference, str) else "")
    except ValueError:
        return "malformed_reference"
    if not calls:
        return "call_needed" if call_needed and functions.schemas else None
    if call_needed is False or not functions.schemas:
        return "call_not_needed"
    if any(call.name not in functions.schemas for call in calls):
        return "unknown_function"
    for call in calls:
        try:
            problem = functions.arguments(call.name).problem(call.arguments)
        except (InvalidSchema, RecursionError):
            return "invalid_schema"
        if problem is not None:
            return problem
    return None


def schema_problem(row: Mapping[str, Any]) -> Problem | None:
    """How the reference of a row breaks its own functions, where the row names functions."""
    if row.get("tools") is None or not isinstance(row.get("reference"), str):
        return None
    reason = evaluate_row(row)
    if reason is None or reason.startswith("malformed"):
        return None
    words = {
        "call_not_needed": "its reference calls a function, and it offers none",
        "unknown_function": "its reference calls a function that it does not offer",
        "invalid_schema": "the schema of a function in its reference cannot be read",
        "too_large": "the arguments of its reference are too large to check",
    }.get(reason, f"its reference breaks the schema of its own function ({reason})")
    return Problem(reason, f"{words}: {row['reference'][:200]}")


class ASTEvaluation:
    """
    The rows of a stream that pass the AST evaluation, to be iterated over once.

    Args:
        rows (`Iterable[Mapping]`):
            Canonical rows.
        checks (`Iterable[Callable]`, *optional*):
            Further checks of a row, each giving a reason or `None`, such as
            [`~egpo_trl.data.duplicates.Duplicates`] and [`~egpo_trl.data.leaks.BenchmarkLeaks`]. They run in order,
            behind [`evaluate_row`], and only on rows that passed so far.
        on_drop (`Callable`, *optional*):
            Called with each row that is dropped and the reason.

    Attributes:
        num_rows (`int`): Rows read so far.
        reasons (`Counter`): Rows dropped so far, by reason.

    Example:

    ```python
    from egpo_trl.data.ast_evaluation import ASTEvaluation
    from egpo_trl.data.duplicates import Duplicates
    from egpo_trl.data.leaks import BenchmarkLeaks
    from egpo_trl.data.sources import bfcl, convert

    rows = ASTEvaluation(convert("train.jsonl", "messages"), [Duplicates(), BenchmarkLeaks(bfcl.questions())])
    kept = list(rows)
    print(rows.reasons)
    ```
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        checks: Iterable[Callable[[Mapping[str, Any]], str | None]] = (),
        on_drop: Callable[[Mapping[str, Any], str], None] | None = None,
    ) -> None:
        self._rows = rows
        self._checks = (evaluate_row, *checks)
        self._on_drop = on_drop
        self.num_rows = 0
        self.reasons: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for row in self._rows:
            self.num_rows += 1
            reason = next((found for check in self._checks if (found := check(row)) is not None), None)
            if reason is None:
                yield row
            else:
                self.reasons[reason] += 1
                if self._on_drop is not None:
                    self._on_drop(row, reason)
