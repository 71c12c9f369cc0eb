"""Writes files that are either whole or absent."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Features

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
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8", errors=errors)


def write_json(value: Any, path: Path) -> None:
    write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", path)


def write_json_lines(rows: Iterable[Mapping[str, Any]], path: Path, errors: str = "strict") -> None:
    """Write a file with a JSON object on each line, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), path, errors)


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path, features: "Features | None" = None) -> None:
    """Write rows as JSON lines, or as Parquet if the name says so, as they come; by default the first tell the features."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        if path.suffix == ".parquet":
            _write_parquet(iter(rows), partial, features)
        else:
            with partial.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, default=str) + "\n" for row in rows)


def _write_parquet(rows: Iterator[Mapping[str, Any]], path: Path, features: "Features | None") -> None:
    from datasets import Dataset
    from pyarrow import ArrowInvalid, ArrowTypeError
    from pyarrow.parquet import ParquetWriter

    group = list(islice(rows, _ROWS_A_GROUP))
    with ExitStack() as stack:
        writer = None
        while group or writer is None:
            try:
                features = features or _infer(group)
                unknown = next((name for row in group for name in row if name not in features), None)
                if unknown is not None:
                    raise TypeError(f"not all rows have the column {unknown!r}")
                table = Dataset.from_list(group, features=features).data.table
            except (ArrowInvalid, ArrowTypeError, TypeError) as error:
                raise ValueError(f"output_format parquet: the rows differ in form ({error}); use jsonl.") from None
            writer = writer or stack.enter_context(ParquetWriter(path, table.schema))
            if group:
                writer.write_table(table)
            group = list(islice(rows, _ROWS_A_GROUP))


def _infer(rows: list[Mapping[str, Any]]) -> "Features":
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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
