"""The journal: one line for each verdict, durable at once, so that a run that was killed goes on where it was."""

import json
import os
import time
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

FORMAT = 1
_FSYNC_SECONDS = 1.0


class JournalError(ValueError):
    """A journal that this run cannot go on with."""


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


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    for name in [*wanted, *found]:
        if found.get(name) != wanted.get(name):
            old, new = found.get(name), wanted.get(name)
            if isinstance(old, dict) and isinstance(new, dict):
                return _difference(old, new)
            return f"{name} was {old!r} and is {new!r}"
    return "nothing"


class Journal:
    """
    Append-only JSON lines, held by one process at a time.

    The first line says what the journal belongs to. A last line that was torn by a crash is cut off. In memory there
    are eight bytes for each row of the input.

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
        self.path = path
        self.requests = 0
        self.tokens = 0
        self.finished = 0
        self._fsync = fsync
        self._synced = 0.0
        self._offsets = array("q", [-1]) * num_rows
        self._done = bytearray(num_rows)
        self._intact = True
        self._lock = FileLock(path.with_suffix(".lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise JournalError(
                f"{path} is in use by another process; wait for it, or use another output_dir."
            ) from None
        try:
            header = {"journal": FORMAT, **json.loads(json.dumps(dict(belongs_to)))}
            end = self._scan(header) if path.exists() else 0
            self._file = path.open("r+b" if end else "w+b", buffering=0)
            self._file.truncate(end)
            self._end = end
            if not end:
                self._write(header)
                self._sync(force=True)
                _sync_folder(path.parent)
        except BaseException:
            self._lock.release()
            raise

    def _scan(self, header: Mapping[str, Any]) -> int:
        """Read what is there, and return where the last whole line ends."""
        end = 0
        torn = None
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if torn is not None:
                    raise JournalError(
                        f"{self.path}: line {torn} is broken. Move the file away to judge all rows again."
                    )
                try:
                    value = json.loads(line) if line.endswith(b"\n") else None
                    if number == 1 and isinstance(value, dict):
                        self._check_header(value, header)
                    elif value is not None:
                        self._index(value, end)
                except JournalError:
                    raise
                except (ValueError, TypeError, KeyError, IndexError):
                    value = None
                if value is None:
                    torn = number
                else:
                    end += len(line)
        return end

    def _check_header(self, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        if found != wanted:
            raise JournalError(
                f"{self.path} belongs to another run: {_difference(found, wanted)}. Restore that, use another "
                "output_dir, or move the journal away to judge all rows again."
            )

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
        self._file.seek(self._offsets[row])
        parts = bytearray()
        while not parts.endswith(b"\n"):
            block = self._file.read(8192)
            stop = block.find(b"\n")
            parts += block if stop < 0 else block[: stop + 1]
            if not block:
                raise JournalError(f"{self.path} was changed by somebody else while the run was using it.")
        return Record(**json.loads(parts))

    def append(self, record: Record) -> None:
        """
        Add a record, durable when this returns as far as the policy says.

        Args:
            record ([`Record`]):
                The record; it replaces earlier ones of its row.

        Raises:
            OSError: If it cannot be written; nothing can be appended afterwards.
        """
        offset = self._end
        self._write(asdict(record))
        self._sync()
        self._index(asdict(record), offset)

    def _write(self, value: Mapping[str, Any]) -> None:
        if not self._intact:
            raise OSError(f"{self.path} could not be written to before")
        self._intact = False
        line = memoryview(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self._file.seek(self._end)
        while line:
            count = self._file.write(line)
            self._end += count
            line = line[count:]
        self._intact = True

    def _sync(self, force: bool = False) -> None:
        now = time.monotonic()
        due = self._fsync == "always" or (self._fsync == "interval" and now - self._synced >= _FSYNC_SECONDS)
        if force or due:
            os.fsync(self._file.fileno())
            self._synced = now

    def close(self) -> None:
        """Force to disk what is not yet there, and let the file go."""
        if not self._file.closed:
            if self._fsync != "never":
                self._sync(force=True)
            self._file.close()
        self._lock.release()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _sync_folder(folder: Path) -> None:
    """Force the entry of a new file to disk, where folders can be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
