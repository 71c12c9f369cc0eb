"""Checks rows for duplicates, benchmark questions and calls where they are needed."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..data.duplicates import Duplicates
from ..data.leaks import BenchmarkLeaks, load_questions
from .config import CleaningConfig

Row = Mapping[str, Any]
RowEvaluation = Callable[[Row], str | None]
_FIXED = {None: None, "always": True, "never": False}


class Selection:
    """The checks of rows that come before the judge, so that no question is spent on what they drop."""

    def __init__(self, config: CleaningConfig) -> None:
        self._leaks: BenchmarkLeaks | None = None
        if config.benchmark_questions is not None:
            try:
                questions = list(load_questions(config.benchmark_questions))
            except (ValueError, OSError) as error:
                raise ValueError(f"benchmark_questions: {error}") from error
            self._leaks = BenchmarkLeaks(questions, config.leak_threshold, config.leak_min_words)
        # A leak that comes twice is a leak twice, not a duplicate.
        self.checks: list[RowEvaluation] = [self._leaks] if self._leaks is not None else []
        if config.drop_duplicates:
            self.checks.append(Duplicates())

    def detail(self, row: Row) -> str | None:
        """The question that a row leaks."""
        found = self._leaks.find(row) if self._leaks is not None else None
        return None if found is None else f"question {found[0]} (similarity {found[1]:.2f})"


def call_is_needed(row: Row, call_needed: str | None) -> bool | None:
    """Whether a row needs a call; `None` where nobody knows."""
    if call_needed in _FIXED:
        return _FIXED[call_needed]
    value = row.get(str(call_needed))
    if not isinstance(value, bool | None):
        raise ValueError(f"column {call_needed!r} must be true, false or null, got {value!r:.40}")
    return value


def check_call_needed(rows: Iterable[Row], call_needed: str | None) -> None:
    """Check the column that `call_needed` names, in all rows."""
    if call_needed in _FIXED:
        return
    known = False
    for index, row in enumerate(rows):
        known = known or str(call_needed) in row
        try:
            call_is_needed(row, call_needed)
        except ValueError as error:
            raise ValueError(f"call_needed: row {index} (id {row.get('id')!r}): {error}.") from None
    if not known:
        raise ValueError(f"call_needed must be 'always', 'never' or a column of the rows, got {call_needed!r}.")
