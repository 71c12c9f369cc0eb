"""AST evaluation of rows: the second stage of the paper's data cleaning. Does the reference fit the functions?"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from .argument_schema import Arguments, InvalidSchema, Reason
from .rows import Problem, read_reference, read_schemas, row_problem

REASONS = (
    "malformed_prompt", "malformed_tools", "malformed_reference", "invalid_schema", "call_needed", "call_not_needed",
    "unknown_function", "missing_argument", "unexpected_argument", "wrong_type", "wrong_value", "too_large",
)  # fmt: skip


@lru_cache(maxsize=1024)
def _arguments(tools: str, name: str) -> Arguments:
    return Arguments(read_schemas(tools)[name])


def evaluate_row(row: Mapping[str, Any], call_needed: bool | None = None) -> Reason | None:
    """
    Evaluate the reference of a row against its functions.

    Args:
        row (`Mapping[str, Any]`):
            Canonical row.
        call_needed (`bool`, *optional*):
            Whether the query needs a call, where somebody knows: a judge, or the benchmark. A row without functions
            never needs one.

    Returns:
        [`Reason`] or `None`:
            `None` for a row in order, else one of [`REASONS`], a string; its `detail` says where and why.

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
    >>> evaluate_row(row).detail
    "weather(city: 7 is not of type 'string')"
    ```
    """
    problem = row_problem(row, 0, ("prompt",))
    if problem is not None:
        return Reason("malformed_prompt", problem)
    tools = "[]" if row.get("tools") is None else row["tools"]
    try:
        schemas = read_schemas(tools)
    except (ValueError, TypeError, AttributeError) as error:
        return Reason("malformed_tools", str(error))
    try:
        reference = row.get("reference")
        calls = read_reference(reference if isinstance(reference, str) else "")
    except ValueError as error:
        return Reason("malformed_reference", str(error))
    if not calls:
        needed = call_needed and schemas
        return Reason("call_needed", "the right answer is said to be a text") if needed else None
    if not schemas:
        return Reason("call_not_needed", "the row offers no function")
    if call_needed is False:
        return Reason("call_not_needed", "the right answer is said to be a call")
    for call in calls:
        if call.name not in schemas:
            return Reason("unknown_function", f"{call.name!r} is not one of {list(schemas)}")
    for call in calls:
        try:
            found = _arguments(tools, call.name).problem(call.arguments)
        except (InvalidSchema, RecursionError) as error:
            return Reason("invalid_schema", f"{call.name}: {error}")
        if found is not None:
            return Reason(found, f"{call.name}({found.detail})")
    return None


def schema_problem(row: Mapping[str, Any]) -> Problem | None:
    """How the reference of a row breaks its own functions, where the row names functions."""
    if row.get("tools") is None or not isinstance(row.get("reference"), str):
        return None
    reason = evaluate_row(row)
    if reason is None or reason.startswith("malformed"):
        return None
    return Problem(str(reason), f"its reference does not fit its functions: {reason.detail}")


class ASTEvaluation:
    """
    The rows of a stream that pass the AST evaluation, to be iterated over once.

    Args:
        rows (`Iterable[Mapping]`):
            Canonical rows.
        checks (`Iterable[Callable]`, *optional*):
            Further checks of a row, each giving a reason or `None`, such as
            [`~egpo_trl.data.duplicates.Duplicates`] and [`~egpo_trl.data.leaks.BenchmarkLeaks`]. They run in order,
            after [`evaluate_row`], and only on rows that passed so far.
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
