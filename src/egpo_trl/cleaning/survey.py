"""Reads the input once: number of rows, checksum, and the rows that need no judge."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..data.duplicates import Duplicates
from ..data.leaks import BenchmarkLeaks, load_questions
from ..data.rows import row_problem
from .config import CleaningConfig

Row = Mapping[str, Any]
Unfit = tuple[str, str, str | None]  # the stage that drops a row, the reason and its details
_FIELDS = ("prompt", "tools", "reference", "answer")
_OPTIONAL = ("tools", "answer")
_FIXED = {None: None, "always": True, "never": False}


@dataclass(frozen=True)
class Survey:
    """The input; `unfit` says for each row why it is dropped before the judge sees it, `None` for the others."""

    fingerprint: str
    unfit: list[Unfit | None]

    @property
    def fit(self) -> int:
        return self.unfit.count(None)


def survey(rows: Iterable[Row], config: CleaningConfig) -> Survey:
    """Read the input; raises `ValueError` if the column that `call_needed` names is missing or malformed."""
    find_problem = _Checks(config)
    checksum = hashlib.sha256()
    unfit: list[Unfit | None] = []
    is_known = config.call_needed in _FIXED
    for index, row in enumerate(rows):
        checksum.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
        unfit.append(find_problem(row, index))
        is_known = is_known or config.call_needed in row
        try:
            call_is_needed(row, config.call_needed)
        except ValueError as error:
            raise ValueError(f"call_needed: row {index} (id {row.get('id')!r}): {error}.") from None
    if unfit and not is_known:
        raise ValueError(f"call_needed must be 'always', 'never' or a column of the rows, got {config.call_needed!r}.")
    return Survey(checksum.hexdigest(), unfit)


class _Checks:
    """The checks that come before the judge, so that no question is spent on the rows that they drop."""

    def __init__(self, config: CleaningConfig) -> None:
        self._duplicates = Duplicates() if config.drop_duplicates else None
        self._leaks: BenchmarkLeaks | None = None
        if config.benchmark_questions is not None:
            try:
                questions = list(load_questions(config.benchmark_questions))
            except (ValueError, OSError) as error:
                raise ValueError(f"benchmark_questions: {error}") from error
            self._leaks = BenchmarkLeaks(questions, config.leak_threshold, config.leak_min_words)

    def __call__(self, row: Row, index: int) -> Unfit | None:
        for name in _FIELDS:
            problem = row_problem(row, index, [name]) if name in row or name not in _OPTIONAL else None
            if problem is not None:
                return "form", f"malformed_{name}", problem
        leak = None if self._leaks is None else self._leaks.find(row)
        if leak is not None:  # one that comes twice is a leak twice, not a duplicate
            return "selection", "benchmark_leak", f"question {leak[0]} (similarity {leak[1]:.2f})"
        repeated = None if self._duplicates is None else self._duplicates(row)
        return None if repeated is None else ("selection", repeated, None)


def call_is_needed(row: Row, call_needed: str | None) -> bool | None:
    """Whether a row needs a call; `None` where that is not known."""
    if call_needed in _FIXED:
        return _FIXED[call_needed]
    value = row.get(str(call_needed))
    if not isinstance(value, bool | None):
        raise ValueError(f"column {call_needed!r} must be true, false or null, got {value!r:.40}")
    return value
