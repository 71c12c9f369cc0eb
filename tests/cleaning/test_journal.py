"""The journal: what a crash can leave behind, and what it must refuse."""

import json

import pytest

from egpo_trl.cleaning.journal import Journal, Record
from egpo_trl.utils.journal import JournalError

BELONGS = {"input": "abc", "judge": {"model": "m", "temperature": 0.0}}


def record(row, outcome="kept", **fields):
    return Record(
        row, f"id-{row}", [{"attempt": 0, "correct": True, "reason": "ü\n", "corrected": None}], outcome, **fields
    )


@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
def test_append_and_read(tmp_path, fsync):
    path = tmp_path / "journal.jsonl"
    with Journal(path, BELONGS, 5, fsync) as journal:
        journal.append(record(3, None, requests=2, tokens=7))
        journal.append(record(1))
        journal.append(record(3, "corrected", requests=1, tokens=5))
        assert journal.read(0) is None
    with Journal(path, BELONGS, 5, fsync) as journal:
        assert journal.read(3) == record(3, "corrected", requests=1, tokens=5)
        assert journal.read(1) == record(1)
        assert [journal.is_finished(row) for row in range(5)] == [False, True, False, True, False]
        assert (journal.requests, journal.tokens, journal.finished) == (3, 12, 2)


def test_a_line_torn_anywhere_is_cut_off(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, BELONGS, 3) as journal:
        journal.append(record(0))
        journal.append(record(2))
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    ends = [len(b"".join(lines[:count])) for count in range(4)]
    for size in {*range(0, len(whole), 9), *(end + shift for end in ends for shift in (-1, 0, 1))} & {
        *range(len(whole))
    }:
        path.write_bytes(whole[:size])
        with Journal(path, BELONGS, 3) as journal:
            kept = [row for row in range(3) if journal.is_finished(row)]
            assert kept == [0, 2][: max(0, sum(size >= len(b"".join(lines[: n + 1])) for n in range(3)) - 1)]
            journal.append(record(1))
        with Journal(path, BELONGS, 3) as journal:
            assert [row for row in range(3) if journal.is_finished(row)] == sorted([*kept, 1])
    for tail in (b"\0" * 100, b"garbage\n", b'{"row": 1}\n', b'{"row": 99, "requests": 0, "tokens": 0}\n', b"[]\n"):
        path.write_bytes(whole + tail)
        with Journal(path, BELONGS, 3) as journal:
            assert journal.finished == 2
        assert path.read_bytes() == whole


def test_broken_in_the_middle(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, BELONGS, 3) as journal:
        journal.append(record(0))
        journal.append(record(1))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{...\n" + lines[2])
    with pytest.raises(JournalError, match="line 2 is broken"):
        Journal(path, BELONGS, 3)
    path.write_bytes(b"{...\n" + lines[2])
    with pytest.raises(JournalError, match="line 1 is broken"):
        Journal(path, BELONGS, 3)


def test_of_another_run(tmp_path):
    path = tmp_path / "journal.jsonl"
    Journal(path, BELONGS, 3).close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"temperature was 0\.0 and is 1\.0.*use another output_dir"):
        Journal(path, {**BELONGS, "judge": {"model": "m", "temperature": 1.0}}, 3)
    path.with_name("rows.jsonl").write_text('{"prompt": "hello"}\n')
    with pytest.raises(JournalError, match="belongs to another run"):
        Journal(path.with_name("rows.jsonl"), BELONGS, 3)
    assert path.read_bytes() == before
    Journal(path, json.loads(json.dumps(BELONGS)), 3).close()


def test_one_process_at_a_time(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, BELONGS, 3), pytest.raises(JournalError, match="in use by another process"):
        Journal(path, BELONGS, 3)
    Journal(path, BELONGS, 3).close()


def test_nothing_follows_a_line_that_could_not_be_written(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, BELONGS, 3)
    file = journal._file

    class Full:
        def __getattr__(self, name):
            return getattr(file, name)

        def write(self, data):
            file.write(data[:5])
            raise OSError(28, "No space left on device")

    journal._file = Full()
    with pytest.raises(OSError, match="No space left"):
        journal.append(record(0))
    journal._file = file
    with pytest.raises(OSError, match="could not be written to before"):
        journal.append(record(1))
    journal.close()
    with Journal(path, BELONGS, 3) as journal:
        assert journal.finished == 0
