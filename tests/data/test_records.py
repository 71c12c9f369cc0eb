"""Reading records: broken lines, broken arrays, tables, saved data sets."""

import json

import pytest
from datasets import Dataset, DatasetDict

from egpo_trl.data import records as module
from egpo_trl.data.records import Unconvertible, read_records


def read(path, **options):
    return [str(r) if isinstance(r, Unconvertible) else r for r in read_records(str(path), **options)]


def test_lines(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": \n3\n"\xff"\n{"a": "\xc3\xa9"}\n' + b"[" * 100_000 + b"\n")
    found = read(file)
    assert found[0] == {"a": 1}
    assert "the line is not JSON" in found[1]
    assert "must be an object, got int" in found[2]
    assert "the line is not JSON" in found[3]
    assert found[4] == {"a": "é"}
    assert "nested too deeply" in found[5]
    assert len(found) == 6


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_arrays_are_read_in_pieces(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    values = [{"a": 'é,]"', "b": [1, {"c": None}]}, {"a": "x" * 50}, {}]
    file = tmp_path / "a.json"
    file.write_text("\ufeff\n" + json.dumps(values, indent=3, ensure_ascii=False), encoding="utf-8")
    assert read(file) == values
    file.write_text("[]")
    assert read(file) == []


@pytest.mark.parametrize(
    "text", ['[{"a": 1}, {"a" 2}, {"a": 3}]', '[{"a": 1}, {"a": ', '[{"a": 1}', '[{"a": 1}, ' + "[" * 100_000]
)
def test_a_broken_array_ends_where_it_breaks(tmp_path, text):
    file = tmp_path / "a.json"
    file.write_text(text)
    first, problem = read(file)
    assert first == {"a": 1}
    assert "the rest of the array cannot be read" in problem


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_arrays_in_a_row_are_all_read(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    file = tmp_path / "a.json"
    file.write_text('[{"a": 1}]\n[{"b": 2},{"c": 3}]\n\n[]{"d": 4}')
    assert read(file) == [{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4}]
    file.write_text('[{"a": 1}] and more')
    first, problem = read(file)
    assert (first, "cannot be read" in problem) == ({"a": 1}, True)


def test_files_of_a_folder_have_splits(tmp_path):
    folder = tmp_path / "f [1]"  # not a pattern
    (folder / "data").mkdir(parents=True)
    (folder / "train-0.jsonl").write_text('{"a": 1}')
    (folder / "data" / "train-1.json").write_text('[{"a": 2}]')
    (folder / "test.jsonl").write_text('{"a": 3}')
    (folder / "README.md").write_text("x")
    assert read(folder) == [{"a": 2}, {"a": 1}]
    assert read(folder, split="test") == [{"a": 3}]
    with pytest.raises(ValueError, match=r"has the splits \['test', 'train'\], not 'validation'"):
        read(folder, split="validation")
    plain = tmp_path / "plain"
    plain.mkdir()
    with pytest.raises(ValueError, match="holds no file that ends in"):
        read(plain)
    (plain / "b.jsonl").write_text('{"a": 1}')
    (plain / "a.csv").write_text("b\n2\n")
    (plain / "config.json").write_text('{"a": 9}')
    assert read(plain) == [{"b": 2}, {"a": 1}]


def test_a_stream_that_breaks_ends_with_a_reason(tmp_path, monkeypatch):
    import datasets

    def broken(*_, **__):
        yield {"a": 1}
        raise datasets.exceptions.DatasetGenerationError("x") from TypeError("Couldn't cast array of type string")

    monkeypatch.setattr(datasets, "load_dataset", broken)
    first, problem = read("somebody/something")
    assert first == {"a": 1}
    assert "the rest cannot be read: Couldn't cast array of type string. Download the files" in problem


def test_tables_and_saved_data_sets(tmp_path):
    dataset = Dataset.from_list([{"a": {"b": 1}, "c": "x"}, {"a": {"d": 2}, "c": None}])
    dataset.to_parquet(tmp_path / "a.parquet")
    dataset.select_columns("c").to_csv(tmp_path / "a.csv", index=False)
    dataset.save_to_disk(tmp_path / "saved")
    DatasetDict({"test": dataset}).save_to_disk(tmp_path / "dict")
    (tmp_path / "folder").mkdir()
    dataset.to_parquet(tmp_path / "folder" / "train.parquet")
    wanted = [{"a": {"b": 1}, "c": "x"}, {"a": {"d": 2}}]
    for name in ("a.parquet", "saved", "folder"):
        assert read(tmp_path / name) == wanted
    assert read(tmp_path / "dict", split="test") == wanted
    assert read(tmp_path / "a.csv")[0] == {"c": "x"}
    with pytest.raises(ValueError, match="has the splits"):
        read(tmp_path / "dict")
