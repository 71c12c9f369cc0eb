"""Writes files that are either whole or absent."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Features
    from pyarrow.parquet import ParquetWriter

_ROWS_A_GROUP = 1000


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to; its file takes the name `path`, content on disk first, if the block ends without an error."""
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(text: str, path: Path, errors: str = "strict") -> None:
    """Write a text file in UTF-8."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8", errors=errors)


def write_json(value: Any, path: Path) -> None:
    """Write a JSON file."""
    write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", path)


def write_json_lines(rows: Iterable[Mapping[str, Any]], path: Path, errors: str = "strict") -> None:
    """Write a file with a JSON object on each line, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), path, errors)


class WholeFile:
    """Writes rows as JSON lines, or as Parquet if the name says so; without `features`, the first rows tell."""

    def __init__(self, path: Path, features: "Features | None" = None) -> None:
        self.path = path
        self.rows = 0
        self._features = features
        self._pending: list[dict[str, Any]] = []
        self._parquet: ParquetWriter | None = None
        self._lines: IO[str] | None = None

    def __enter__(self) -> "WholeFile":
        self._stack = ExitStack()
        self._partial = self._stack.enter_context(whole(self.path))
        if self.path.suffix == ".parquet":
            self._stack.push(self._finish)
        else:
            self._lines = self._stack.enter_context(self._partial.open("w", encoding="utf-8"))
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self.rows += 1
        if self._lines is not None:
            self._lines.write(json.dumps(row, ensure_ascii=True, default=str) + "\n")
            return
        self._pending.append(dict(row))
        if len(self._pending) >= _ROWS_A_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        from datasets import Dataset
        from pyarrow import ArrowInvalid, ArrowTypeError
        from pyarrow.parquet import ParquetWriter

        rows, self._pending = self._pending, []
        try:
            if self._features is None:
                self._features = _infer(rows)
            unknown = next((name for row in rows for name in row if name not in self._features), None)
            if unknown is not None:
                raise TypeError(f"not all rows have the column {unknown!r}")
            table = Dataset.from_list(rows, features=self._features).data.table
        except (ArrowInvalid, ArrowTypeError, TypeError) as error:
            raise ValueError(f"output_format parquet: the rows differ in form ({error}); use jsonl.") from None
        if self._parquet is None:
            self._parquet = ParquetWriter(self._partial, table.schema)
        if rows:
            self._parquet.write_table(table)

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and (self._pending or self._parquet is None):
                self._write_group()
        finally:
            if self._parquet is not None:
                self._parquet.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def _infer(rows: list[dict[str, Any]]) -> "Features":
    """Features of rows, with messages as JSON, which keeps the arguments of calls in them as they are."""
    from datasets import Dataset, Json, List, Value

    features = Dataset.from_list([{**row, "prompt": None, "answer": ""} for row in rows]).features
    if rows:
        features["prompt"] = Value("string") if isinstance(rows[0]["prompt"], str) else List(Json())
    return features


def with_answer(features: "Features | None") -> "Features | None":
    """The features of the input and the `answer` column."""
    from datasets import Features, Value

    return None if features is None else Features({**features, "answer": Value("string")})


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
