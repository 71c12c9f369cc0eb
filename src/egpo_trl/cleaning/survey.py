"""Reads the input once: number of rows, checksum, and the rows that are not worth a question."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..data.rows import row_problem

_FIELDS = ("prompt", "tools", "reference", "answer")
_OPTIONAL = ("tools", "answer")
MALFORMED = 1  # in `Survey.unfit`; higher numbers are the places of the checks' reasons, from 2 on


@dataclass(frozen=True)
class Survey:
    """The input; `unfit` has a byte for each row: 0, [`MALFORMED`], or a number that [`reason`] knows."""

    rows: int
    fingerprint: str
    unfit: bytes
    reasons: tuple[str, ...] = ()

    @property
    def fit(self) -> int:
        """Number of rows that are fit to be judged."""
        return self.unfit.count(0)

    def reason(self, index: int) -> str | None:
        """Reason of the check that a row failed, `None` if it passed all or is malformed."""
        number = self.unfit[index]
        return self.reasons[number - MALFORMED - 1] if number > MALFORMED else None


def malformation(row: Mapping[str, Any], index: int) -> tuple[str, str] | None:
    """A reason code and a sentence for a row that is malformed, `None` for a row in order."""
    fields = [name for name in _FIELDS if name not in _OPTIONAL or name in row]
    for name in fields:
        problem = row_problem(row, index, [name])
        if problem is not None:
            return f"malformed_{name}", problem
    return None


def survey(
    rows: Iterable[Mapping[str, Any]], checks: Iterable[Callable[[Mapping[str, Any]], str | None]] = ()
) -> Survey:
    """Read the input once."""
    checksum = hashlib.sha256()
    checks = tuple(checks)
    unfit = bytearray()
    reasons: list[str] = []
    for index, row in enumerate(rows):
        checksum.update(json.dumps(row, sort_keys=True, default=str).encode())
        checksum.update(b"\n")
        if malformation(row, index) is not None:
            unfit.append(MALFORMED)
            continue
        reason = next((found for check in checks if (found := check(row)) is not None), None)
        if reason is not None and reason not in reasons:
            reasons.append(reason)
        unfit.append(0 if reason is None else MALFORMED + 1 + reasons.index(reason))
    return Survey(len(unfit), checksum.hexdigest(), bytes(unfit), tuple(reasons))
