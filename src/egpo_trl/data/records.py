"""Raw records from a file, a folder or the Hub, one at a time: memory does not grow with the number of records."""

import glob
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset

_JSON = (".jsonl", ".json", ".ndjson")
_TABLES = {".parquet": "parquet", ".csv": "csv"}
_CHUNK = 1 << 20
_MAX_RECORD = 64 << 20  # characters that one element of a JSON array may have
_DECODER = json.JSONDecoder()


class Unconvertible(ValueError):
    """A record that does not become a row."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"field {field!r}: {reason}")
        self.field = field
        self.reason = reason


class UnknownOption(ValueError):
    """An option or a split that the data does not have."""


Record = Mapping[str, Any]


def check_exists(name_or_path: str) -> None:
    """Raise `FileNotFoundError` if a name that looks like a file does not exist."""
    path = Path(name_or_path)
    if not path.exists() and (path.is_absolute() or _suffix(path) in (*_JSON, *_TABLES)):
        raise FileNotFoundError(f"there is no file or folder {name_or_path!r}.")


def read_records(
    name_or_path: str, split: str = "train", config: str | None = None
) -> Iterator[Record | Unconvertible]:
    """Read the records of a data set in order; one that cannot be read is an [`Unconvertible`]."""
    path = Path(name_or_path)
    if path.is_file():
        return _read_file(path)
    if path.is_dir() and not any((path / name).exists() for name in ("dataset_info.json", "dataset_dict.json")):
        files = _files_of(path, split)
        return (record for file in files for record in _read_file(file))
    return _stream(name_or_path, split, config)


def _files_of(folder: Path, split: str) -> list[Path]:
    """Data files of a split in a folder, as `datasets` tells them apart."""
    from datasets.data_files import DataFilesDict, EmptyDatasetError, get_data_patterns

    base = glob.escape(str(folder.resolve()))
    try:
        found = DataFilesDict.from_patterns(get_data_patterns(base), base_path=base)
    except (EmptyDatasetError, FileNotFoundError):
        found = {}
    splits: dict[str, list[Path]] = {}
    for name, files in found.items():
        for file in map(Path, files):
            if _suffix(file) in (*_JSON, *_TABLES) and file.name != "state.json":
                splits.setdefault(str(name), []).append(file)
    if not splits:
        raise ValueError(f"{str(folder)!r} holds no file that ends in {', '.join((*_JSON, *_TABLES))}.")
    if split not in splits:
        raise UnknownOption(f"{str(folder)!r} has the splits {sorted(splits)}, not {split!r}.")
    return sorted(splits[split])


def _stream(name_or_path: str, split: str, config: str | None) -> Iterator[Record | Unconvertible]:
    from datasets import load_dataset

    path = Path(name_or_path)
    if (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
        return map(_without_padding, load_saved(name_or_path, split))  # memory-mapped
    advice = "Download the files and convert their folder."
    return _guarded(load_dataset(name_or_path, config, split=split, streaming=True), advice)


def load_saved(folder: str, split: str) -> "Dataset":
    """A split of a data set that `save_to_disk` wrote; a data set without splits is all of them."""
    from datasets import DatasetDict, load_from_disk

    loaded = load_from_disk(folder)
    if not isinstance(loaded, DatasetDict):
        return loaded
    if split not in loaded:
        raise UnknownOption(f"{folder!r} has the splits {sorted(loaded)}, not {split!r}.")
    return loaded[split]


def _guarded(rows: Iterable[Any], advice: str) -> Iterator[Record | Unconvertible]:
    """Records of a stream. `datasets` ends a stream at the first record whose form differs from that of the first ones."""
    from datasets.exceptions import DatasetsError
    from pyarrow import ArrowException

    try:
        yield from map(_without_padding, rows)
    except (ValueError, ArrowException, DatasetsError) as error:
        told = str(error.__cause__ or error)[:200]
        yield Unconvertible("", f"the rest cannot be read: {told}. {advice}".rstrip(". "))


def _without_padding(value: Any) -> Any:
    """A value without the nulls that Arrow fills absent keys of objects with."""
    if isinstance(value, dict):
        return {key: _without_padding(item) for key, item in value.items() if item is not None}
    return [_without_padding(item) for item in value] if isinstance(value, list) else value


def _read_file(path: Path) -> Iterator[Record | Unconvertible]:
    return _guarded(_table(path), "") if _suffix(path) in _TABLES else _read_json(path)


def _table(path: Path) -> Iterator[Any]:
    from datasets import load_dataset

    yield from load_dataset(_TABLES[_suffix(path)], data_files=str(path), split="train", streaming=True)


def _suffix(path: Path) -> str:
    """Ending of a file's name without `.gz`."""
    return path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix


def _read_json(path: Path) -> Iterator[Record | Unconvertible]:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            start = file.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip()
        if start.startswith(b"[") or start.splitlines()[:1] == [b"{"]:  # an array, or objects of several lines
            with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape") as text:
                yield from map(_as_record, _array_elements(text))
        else:
            with opened(path, "rb") as lines:
                yield from map(_as_record, _lines(lines))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Unconvertible("", f"the rest of the file cannot be unpacked: {error}")


def _as_record(value: Any) -> Record | Unconvertible:
    if isinstance(value, (dict, Unconvertible)):
        return value
    return Unconvertible("", f"a record must be an object, got {type(value).__name__}")


def _lines(lines: Iterable[bytes]) -> Iterator[Any]:
    for line in lines:
        line = line.removeprefix(b"\xef\xbb\xbf").strip()
        if not line:
            continue
        try:
            yield json.loads(line.decode())
        except RecursionError:
            yield Unconvertible("", "the line is nested too deeply")
        except ValueError as error:
            yield Unconvertible("", f"the line is not JSON: {error}")


def _array_elements(file: IO[str]) -> Iterator[Any]:
    """Elements of JSON arrays, decoded as they are read; what follows a broken element is lost."""
    buffer, position, size, inside = "", 0, _CHUNK, False
    while True:
        while position < len(buffer) and buffer[position] in " \t\r\n,\ufeff":
            position += 1
        if position == len(buffer):
            buffer, position = file.read(_CHUNK), 0
            if not buffer:
                if inside:
                    yield Unconvertible("", "the rest of the array cannot be read: it does not end")
                return
        elif buffer[position] == ("]" if inside else "["):
            inside, position = not inside, position + 1
        else:
            try:
                value, position = _DECODER.raw_decode(buffer, position)
                size = _CHUNK
                yield value
            except RecursionError:
                yield Unconvertible("", "the rest of the array cannot be read: nested too deeply")
                return
            except ValueError as error:
                more = file.read(size) if len(buffer) - position < _MAX_RECORD else ""
                if not more:
                    yield Unconvertible("", f"the rest of the array cannot be read: {str(error)[:200]}")
                    return
                buffer, position, size = buffer[position:] + more, 0, 2 * size
