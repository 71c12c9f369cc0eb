"""Writing rows to files that are either whole or not there."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Json, List, Value

_ROWS_A_GROUP = 1000


class RowWriter(Protocol):
    """Writes rows in order."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row."""

    def close(self) -> None:
        """Finish the file."""


class JsonlWriter:
    """
    JSON lines.

    Args:
        path (`Path`):
            File.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self._file.write(json.dumps(row, ensure_ascii=True, default=str) + "\n")

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class ParquetWriter:
    """
    Parquet, in groups of rows.

    Args:
        path (`Path`):
            File.
        features ([`~datasets.Features`], *optional*):
            Features of the rows; by default those of the first group, with messages as JSON, which keeps the arguments
            of calls in them as they are.
    """

    def __init__(self, path: Path, features: Features | None) -> None:
        self._path, self._features = path, features
        self._rows: list[dict[str, Any]] = []
        self._writer: pq.ParquetWriter | None = None

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self._rows.append(dict(row))
        if len(self._rows) >= _ROWS_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        try:
            if self._features is None:
                self._features = _infer(self._rows)
            unknown = next((name for row in self._rows for name in row if name not in self._features), None)
            if unknown is not None:
                raise TypeError(f"not all rows have the column {unknown!r}")
            table = Dataset.from_list(self._rows, features=self._features).data.table
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
            raise ValueError(f"output_format parquet: the rows differ in form ({error}); use jsonl.") from None
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        if self._rows:
            self._writer.write_table(table)
        self._rows = []

    def close(self) -> None:
        """Finish the file."""
        if self._rows or self._writer is None:
            self._flush()
        assert self._writer is not None
        self._writer.close()


def _infer(rows: list[dict[str, Any]]) -> Features:
    features = Dataset.from_list([{**row, "prompt": None, "answer": ""} for row in rows]).features
    if rows:
        features["prompt"] = Value("string") if isinstance(rows[0]["prompt"], str) else List(Json())
    return features


def with_answer(features: Features | None) -> Features | None:
    """The features of the input and the `answer` column."""
    return None if features is None else Features({**features, "answer": Value("string")})


class WholeFile:
    """
    A file that appears under its name only when it is finished.

    Args:
        path (`Path`):
            Name of the file; its suffix picks JSON lines or Parquet.
        features ([`~datasets.Features`], *optional*):
            Features of the rows, for Parquet.
    """

    def __init__(self, path: Path, features: Features | None = None) -> None:
        self.path = path
        self._partial = path.with_name(path.name + ".partial")
        self._writer: RowWriter = (
            ParquetWriter(self._partial, features) if path.suffix == ".parquet" else JsonlWriter(self._partial)
        )
        self.rows = 0

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self._writer.write(row)
        self.rows += 1

    def __enter__(self) -> "WholeFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._partial.unlink(missing_ok=True)
            return
        self._writer.close()
        replace(self._partial, self.path)


def replace(partial: Path, path: Path) -> None:
    """Give a finished file its name, its content on disk before."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(value: Any, path: Path) -> None:
    """Write a JSON file that is either whole or not there."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    replace(partial, path)


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
