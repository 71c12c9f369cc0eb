"""Append-only JSON lines, durable at once, that one process at a time goes on with after a crash."""

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

FORMAT = 1
_FSYNC_SECONDS = 1.0


class JournalError(ValueError):
    """A journal that this run cannot go on with."""


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    for name in [*wanted, *found]:
        if found.get(name) != wanted.get(name):
            old, new = found.get(name), wanted.get(name)
            if isinstance(old, dict) and isinstance(new, dict):
                return _difference(old, new)
            return f"{name} was {old!r} and is {new!r}"
    return "nothing"


class JournalFile(ABC):
    """
    The file of a journal.

    The first line says what the journal belongs to. A last line that was torn by a crash is cut off. Subclasses keep
    where the lines are, in [`_index`], and read them again when they are wanted.

    Args:
        path (`Path`):
            File; begun if there is none.
        belongs_to (`Mapping[str, Any]`):
            What the lines depend on, as JSON values.
        again (`str`):
            What a run does without the journal, for messages: `"judge all rows again"`.
        fsync (`str`, *optional*, defaults to `"always"`):
            When lines are forced to disk: `"always"`, `"interval"` (at most once a second) or `"never"`.

    Raises:
        JournalError: If the file belongs to something else, is broken in the middle, or another process holds it.
    """

    def __init__(self, path: Path, belongs_to: Mapping[str, Any], again: str, fsync: str = "always") -> None:
        self.path = path
        self._again = again
        self._fsync = fsync
        self._synced = 0.0
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

    @abstractmethod
    def _index(self, value: Any, offset: int) -> None:
        """Take notice of a line at an offset; raises `ValueError`, `TypeError` or `LookupError` if it makes no sense."""

    def _scan(self, header: Mapping[str, Any]) -> int:
        """Read what is there, and return where the last whole line ends."""
        end = 0
        torn = None
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if torn is not None:
                    raise JournalError(f"{self.path}: line {torn} is broken. Move the file away to {self._again}.")
                try:
                    value = json.loads(line) if line.endswith(b"\n") else None
                    if number == 1 and isinstance(value, dict):
                        self._check_header(value, header)
                    elif value is not None:
                        self._index(value, end)
                except JournalError:
                    raise
                except (ValueError, TypeError, LookupError):
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
                f"output_dir, or move the journal away to {self._again}."
            )

    def _read_line(self, offset: int) -> Any:
        self._file.seek(offset)
        parts = bytearray()
        while not parts.endswith(b"\n"):
            block = self._file.read(8192)
            stop = block.find(b"\n")
            parts += block if stop < 0 else block[: stop + 1]
            if not block:
                raise JournalError(f"{self.path} was changed by somebody else while the run was using it.")
        return json.loads(parts)

    def _append(self, value: Mapping[str, Any]) -> None:
        offset = self._end
        self._write(value)
        self._sync()
        self._index(value, offset)

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

    def __enter__(self) -> Self:
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
