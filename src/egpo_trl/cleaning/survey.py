"""The first pass over the input: how many rows, their checksum, and which of them are not worth a question."""

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
    """
    What the input is.

    Args:
        rows (`int`):
            Number of rows.
        fingerprint (`str`):
            SHA-256 of all rows in order.
        unfit (`bytes`):
            One byte for each row: 0 for one that goes on, [`MALFORMED`], or a number that [`reason`] knows.
        reasons (`tuple[str, ...]`):
            Reasons of the checks that a row failed.
    """

    rows: int
    fingerprint: str
    unfit: bytes
    reasons: tuple[str, ...] = ()

    @property
    def fit(self) -> int:
        """Number of rows that go on."""
        return self.unfit.count(0)

    def reason(self, index: int) -> str | None:
        """Reason of the check that a row failed, `None` if it passed all or is malformed."""
        number = self.unfit[index]
        return self.reasons[number - MALFORMED - 1] if number > MALFORMED else None


def malformation(row: Mapping[str, Any], index: int) -> tuple[str, str] | None:
    """
    What is wrong with the form of a row.

    Args:
        row (`Mapping[str, Any]`):
            Row of the input.
        index (`int`):
            Its position.

    Returns:
        `tuple[str, str]` or `None`:
            A reason code (`"malformed_"` and the column) and a sentence, or `None` for a row in order.
    """
    fields = [name for name in _FIELDS if name not in _OPTIONAL or name in row]
    for name in fields:
        problem = row_problem(row, index, [name])
        if problem is not None:
            return f"malformed_{name}", problem
    return None


def survey(
    rows: Iterable[Mapping[str, Any]], checks: Iterable[Callable[[Mapping[str, Any]], str | None]] = ()
) -> Survey:
    """
    Read the input once.

    Args:
        rows (`Iterable[Mapping[str, Any]]`):
            Rows.
        checks (`Iterable[Callable]`, *optional*):
            Further checks of well-formed rows, in order; each gives a reason to drop the row, or `None`.

    Returns:
        [`Survey`]:
            Count, fingerprint and unfit rows.
    """
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
