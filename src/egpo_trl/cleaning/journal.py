"""The journal: one line for each verdict, durable at once, so that a run that was killed goes on where it was."""

from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..utils.journal import JournalFile


@dataclass
class Record:
    """
    What is known about a row; the last one in the journal holds all of it.

    Args:
        row (`int`):
            Position in the input.
        id (`str`, *optional*):
            The row's `id`.
        attempts (`list[dict]`):
            For each evaluation its number (`attempt`, 0 is the answer as it came), whether the answer was `correct`,
            the judge's `reason`, and the answer as `corrected`.
        outcome (`str`, *optional*):
            `"kept"`, `"corrected"` or `"dropped"`; `None` while further evaluations are due.
        reason (`str`, *optional*):
            Why the row was dropped.
        requests (`int`):
            Requests since the record before, those without a verdict included.
        tokens (`int`):
            Tokens since the record before.
    """

    row: int
    id: str | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    outcome: str | None = None
    reason: str | None = None
    requests: int = 0
    tokens: int = 0


class Journal(JournalFile):
    """
    The records of a run, by row; see [`JournalFile`]. In memory there are eight bytes for each row of the input.

    Args:
        path (`Path`):
            File; begun if there is none.
        belongs_to (`Mapping[str, Any]`):
            What the verdicts depend on, as JSON values.
        num_rows (`int`):
            Rows of the input.
        fsync (`str`, *optional*, defaults to `"always"`):
            `"always"`, `"interval"` or `"never"`, see [`CleaningConfig`].

    Raises:
        JournalError: If the file belongs to something else, is broken in the middle, or another process holds it.
    """

    def __init__(self, path: Path, belongs_to: Mapping[str, Any], num_rows: int, fsync: str = "always") -> None:
        self.requests = 0
        self.tokens = 0
        self.finished = 0
        self._offsets = array("q", [-1]) * num_rows
        self._done = bytearray(num_rows)
        super().__init__(path, belongs_to, "judge all rows again", fsync)

    def _index(self, value: Any, offset: int) -> None:
        row = value["row"]
        if not isinstance(row, int) or row < 0:
            raise ValueError("no row")
        self._offsets[row] = offset
        self.requests += value["requests"]
        self.tokens += value["tokens"]
        if value["outcome"] is not None and not self._done[row]:
            self._done[row] = 1
            self.finished += 1

    def is_finished(self, row: int) -> bool:
        """Whether the judge has done with a row."""
        return bool(self._done[row])

    def read(self, row: int) -> Record | None:
        """The last record of a row, `None` if there is none."""
        if self._offsets[row] < 0:
            return None
        return Record(**self._read_line(self._offsets[row]))

    def append(self, record: Record) -> None:
        """
        Add a record, durable when this returns as far as the policy says.

        Args:
            record ([`Record`]):
                The record; it replaces earlier ones of its row.

        Raises:
            OSError: If it cannot be written; nothing can be appended afterwards.
        """
        self._append(asdict(record))
