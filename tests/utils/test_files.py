"""Files that are whole or absent."""

import json

import pyarrow.parquet as pq
import pytest

from egpo_trl.utils.files import checksum, whole, write_json, write_rows, write_text


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_rows(tmp_path, name):
    rows = [{"prompt": [{"role": "user", "content": f"{n}"}], "answer": None, "id": str(n)} for n in range(2500)]

    def stream():
        for row in rows:
            yield row
            assert not (tmp_path / name).exists()

    write_rows(stream(), tmp_path / name)
    text = (tmp_path / name).read_text() if name.endswith("jsonl") else ""
    found = [json.loads(line) for line in text.splitlines()] or pq.read_table(tmp_path / name).to_pylist()
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    write_rows([], tmp_path / f"empty-{name}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"empty-{name}"])


def fail_while_writing(path):
    def rows():
        for number in range(1200):
            yield {"prompt": "x", "answer": None, "n": number}
        raise KeyError

    write_rows(rows(), path)


def fail_while_writing_text(path):
    with whole(path) as partial:
        partial.write_text("half")
        raise KeyError


@pytest.mark.parametrize("fail", [fail_while_writing, fail_while_writing_text])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_an_error_leaves_what_was_there(tmp_path, name, fail):
    (tmp_path / name).write_text("before")
    with pytest.raises(KeyError):
        fail(tmp_path / name)
    assert (tmp_path / name).read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_rows_that_parquet_cannot_hold(tmp_path):
    rows = [{"prompt": "x", "answer": None}, {"prompt": "x", "answer": None, "more": 1}]
    with pytest.raises(ValueError, match=r"rows differ in form .*column 'more'.*use jsonl"):
        write_rows(rows, tmp_path / "rows.parquet")
    assert not list(tmp_path.iterdir())


def test_text_json_and_checksum(tmp_path):
    write_text("\ud800", tmp_path / "text", errors="replace")
    assert (tmp_path / "text").read_text() == "?"
    write_json({"\u00fc": 1}, tmp_path / "value.json")
    assert json.loads((tmp_path / "value.json").read_text()) == {"\u00fc": 1}
    assert checksum(tmp_path / "text").startswith("8a8de823d5ed3e12746a62ef169bcf37")
