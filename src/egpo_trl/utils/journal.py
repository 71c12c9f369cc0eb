"""[`Journal`]: records by key in a JSON-lines file that a run continues after a crash."""

import json
import os
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

FORMAT = 1
_FSYNC_SECONDS = 1.0


class JournalError(ValueError):
    """A journal that this run cannot continue."""


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    for name in [*wanted, *found]:
        old, new = found.get(name), wanted.get(name)
        if old != new:
            if isinstance(old, dict) and isinstance(new, dict):
                return _difference(old, new)
            return f"{name} was {old!r} and is {new!r}"
    return "nothing"


class Journal:
    """Records by key in a file that one process uses at a time; another header is an error, a cut-off line is removed."""

    def __init__(
        self,
        path: Path,
        belongs_to: Mapping[str, Any],
        key: Callable[[Mapping[str, Any]], Hashable],
        redo: str,
        fsync: str = "always",
    ) -> None:
        self.path = path
        self._key, self._redo, self._fsync, self._synced = key, redo, fsync, 0.0
        self._lines: dict[Hashable, bytes] = {}
        self._lock = FileLock(path.with_suffix(".lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise JournalError(
                f"{path} is in use by another process; wait for it, or use another output_dir."
            ) from None
        try:
            header = {"journal": FORMAT, **json.loads(json.dumps(dict(belongs_to)))}
            end = self._read(header) if path.exists() else 0
            self._file = path.open("ab")
            self._file.truncate(end)
            if not end:
                self._write(header)
                self._sync(force=True)
                _sync_folder(path.parent)
        except BaseException:
            self._lock.release()
            raise

    def _read(self, header: Mapping[str, Any]) -> int:
        """Index the lines of the file, and return where the last whole one ends."""
        end = 0
        lines = self.path.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            try:
                value: Any = json.loads(line) if line.endswith(b"\n") else None
                if number == 1 and isinstance(value, dict):
                    self._check_header(value, header)
                else:
                    self._lines[self._key(value)] = line
            except JournalError:
                raise
            except (ValueError, TypeError, LookupError):
                if number < len(lines):
                    raise JournalError(
                        f"{self.path}: line {number} is broken. Move the file away to {self._redo}."
                    ) from None
                break
            end += len(line)
        return end

    def _check_header(self, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        if found != wanted:
            raise JournalError(
                f"{self.path} belongs to another run: {_difference(found, wanted)}. Restore that, use another "
                f"output_dir, or move the journal away to {self._redo}."
            )

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Any]:
        """The last record of each key."""
        return map(json.loads, self._lines.values())

    def get(self, key: Hashable) -> Any:
        line = self._lines.get(key)
        return None if line is None else json.loads(line)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record; it is in the file when this returns, and on disk as far as `fsync` says."""
        line = self._write(record)
        self._sync()
        self._lines[self._key(record)] = line

    def _write(self, value: Mapping[str, Any]) -> bytes:
        line = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        self._file.write(line)
        self._file.flush()  # keeps what a full disk does not take, so that no line follows half of another one
        return line

    def _sync(self, force: bool = False) -> None:
        now = time.monotonic()
        if force or self._fsync == "always" or (self._fsync == "interval" and now - self._synced >= _FSYNC_SECONDS):
            os.fsync(self._file.fileno())
            self._synced = now

    def close(self) -> None:
        """Force the rest to disk, and release the file."""
        try:
            if not self._file.closed:
                with self._file:
                    self._sync(force=self._fsync != "never")
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sync_folder(folder: Path) -> None:
    """Force the entry of a new file to disk, where folders can be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
