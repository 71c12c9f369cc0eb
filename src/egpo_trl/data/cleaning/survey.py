"""The first pass over the input: how many rows, their checksum, and which of them are malformed."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..rows import row_problem

_FIELDS = ("prompt", "tools", "reference")


@dataclass(frozen=True)
class Survey:
    """
    What the input is.

    Args:
        rows (`int`):
            Number of rows.
        fingerprint (`str`):
            SHA-256 of all rows in order.
        malformed (`bytes`):
            One byte for each row, 1 where it is malformed.
    """

    rows: int
    fingerprint: str
    malformed: bytes


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
            A reason code (`"malformed_prompt"`, `"malformed_tools"`, `"malformed_reference"`) and a sentence, or `None`
            for a row in order.
    """
    fields = [name for name in _FIELDS if name != "tools" or name in row]
    for name in fields:
        problem = row_problem(row, index, [name])
        if problem is not None:
            return f"malformed_{name}", problem
    return None


def survey(rows: Iterable[Mapping[str, Any]]) -> Survey:
    """
    Read the input once.

    Args:
        rows (`Iterable[Mapping[str, Any]]`):
            Rows.

    Returns:
        [`Survey`]:
            Count, fingerprint and malformed rows.
    """
    checksum = hashlib.sha256()
    malformed = bytearray()
    for index, row in enumerate(rows):
        checksum.update(json.dumps(row, sort_keys=True, default=str).encode())
        checksum.update(b"\n")
        malformed.append(malformation(row, index) is not None)
    return Survey(len(malformed), checksum.hexdigest(), bytes(malformed))
