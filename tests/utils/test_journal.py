"""The journal: what a crash can leave in its file, and what it must refuse."""

import json

import pytest

from egpo_trl.utils.journal import Journal, JournalError

BELONGS = {"input": "abc", "judge": {"model": "m", "temperature": 0.0}}


def open_(path, belongs_to=BELONGS, fsync="always"):
    return Journal(path, belongs_to, lambda record: record["row"], "judge all rows again", fsync)


def record(row, **fields):
    return {"row": row, "text": "\u00fc\n", **fields}


def rows_of(path):
    with open_(path) as journal:
        return [one["row"] for one in journal]


@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
def test_append_and_read(tmp_path, fsync):
    path = tmp_path / "journal.jsonl"
    with open_(path, fsync=fsync) as journal:
        for one in (record(3), record(1), record(3, again=True)):
            journal.append(one)
        assert journal.get(0) is None
    with open_(path, fsync=fsync) as journal:
        assert journal.get(3) == record(3, again=True)
        assert journal.get(1) == record(1)
        assert list(journal) == [record(3, again=True), record(1)]
        assert len(journal) == 2


def test_a_line_torn_anywhere_is_cut_off(tmp_path):
    path = tmp_path / "journal.jsonl"
    with open_(path) as journal:
        journal.append(record(0))
        journal.append(record(2))
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    for size in range(len(content)):
        path.write_bytes(content[:size])
        whole = sum(size >= len(b"".join(lines[:count])) for count in (1, 2, 3))
        with open_(path) as journal:
            kept = [one["row"] for one in journal]
            assert kept == [0, 2][: max(0, whole - 1)]
            journal.append(record(1))
        assert rows_of(path) == [*kept, 1]


@pytest.mark.parametrize("tail", [b"\0" * 100, b"garbage\n", b'{"rows": 1}\n', b"[]\n", b"null\n"])
def test_a_last_line_that_makes_no_sense_is_cut_off(tmp_path, tail):
    path = tmp_path / "journal.jsonl"
    with open_(path) as journal:
        journal.append(record(0))
    content = path.read_bytes()
    path.write_bytes(content + tail)
    assert rows_of(path) == [0]
    assert path.read_bytes() == content


@pytest.mark.parametrize("broken", [1, 2])
def test_broken_in_the_middle(tmp_path, broken):
    path = tmp_path / "journal.jsonl"
    with open_(path) as journal:
        journal.append(record(0))
        journal.append(record(1))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[broken - 1] = b"{...\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=f"line {broken} is broken. Move the file away to judge all rows again"):
        open_(path)


def test_of_another_run(tmp_path):
    path = tmp_path / "journal.jsonl"
    open_(path).close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"temperature was 0\.0 and is 1\.0.*use another output_dir"):
        open_(path, {**BELONGS, "judge": {"model": "m", "temperature": 1.0}})
    path.with_name("rows.jsonl").write_text('{"prompt": "hello"}\n')
    with pytest.raises(JournalError, match="belongs to another run"):
        open_(path.with_name("rows.jsonl"))
    assert path.read_bytes() == before
    open_(path, json.loads(json.dumps(BELONGS))).close()


def test_one_process_at_a_time(tmp_path):
    path = tmp_path / "journal.jsonl"
    with open_(path), pytest.raises(JournalError, match="in use by another process"):
        open_(path)
    open_(path).close()


def test_a_full_disk_leaves_no_half_line_in_the_middle(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "journal.jsonl"
    journal = open_(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            journal.append(record(0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert journal.get(0) is None
    journal.append(record(1))
    journal.close()
    assert rows_of(path) == [0, 1]
