"""Checkouts: what is missing, what was changed, and what git says."""

import logging
import subprocess

import pytest

from egpo_trl.evaluation.official.checkouts import Repository, checksum, open_checkout, read_json_lines

REPOSITORY = Repository("Bench", "https://github.com/someone/bench", "a" * 40, "inner")


@pytest.fixture
def folder(tmp_path):
    inner = tmp_path / "bench" / "inner"
    (inner / "data").mkdir(parents=True)
    (inner / "score.py").write_text("pass\n")
    (inner / "data" / "one.json").write_text("{}\n")
    return inner


def sums(folder):
    return {name: checksum(folder / name) for name in ("score.py", "data")}


def test_an_unchanged_checkout_is_quiet(folder, caplog):
    with caplog.at_level(logging.WARNING):
        checkout = open_checkout(str(folder), REPOSITORY, sums(folder))
    assert (checkout.path, checkout.commit, checkout.changed) == (folder, None, {})
    assert not caplog.records


def test_the_repository_around_it_will_do(folder):
    assert open_checkout(str(folder.parent), REPOSITORY, sums(folder)).path == folder


@pytest.mark.parametrize("path", [None, "", "nowhere"])
def test_no_checkout_says_where_to_get_it(path, folder):
    with pytest.raises(
        ValueError, match=r"(?s)--repo.*git clone https://github.com/someone/bench.*checkout a{40}.*inner"
    ):
        open_checkout(path, REPOSITORY, sums(folder))


def test_an_incomplete_checkout_names_the_first_missing_file(folder):
    known = sums(folder)
    (folder / "score.py").unlink()
    with pytest.raises(ValueError, match=r"(?s)lacks 'score.py'\. Get Bench"):
        open_checkout(str(folder), REPOSITORY, known)


def test_a_changed_file_is_a_warning_with_its_checksum(folder, caplog):
    known = sums(folder)
    (folder / "data" / "one.json").write_text('{"a": 1}\n')
    with caplog.at_level(logging.WARNING):
        checkout = open_checkout(str(folder), REPOSITORY, known)
    assert checkout.changed == {"data": checksum(folder / "data")}
    assert checkout.changed["data"] in caplog.text
    assert "was tested at " + "a" * 40 in caplog.text


def test_another_commit_is_a_warning_even_if_the_files_are_the_same(folder, caplog):
    def git(*words):
        command = ["git", "-C", str(folder.parent), "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    with caplog.at_level(logging.WARNING):
        checkout = open_checkout(str(folder), REPOSITORY, sums(folder))
    assert checkout.commit == git("rev-parse", "HEAD")
    assert "The files that are used are the same." in caplog.text


def test_a_folder_that_another_repository_ignores_has_no_commit(folder):
    subprocess.run(["git", "init", "-q", str(folder.parent)], check=True)
    assert open_checkout(str(folder), REPOSITORY, sums(folder)).commit is None


def test_checksums_see_names_and_contents_but_not_line_ends_or_caches(folder):
    first = checksum(folder)
    (folder / "score.py").write_bytes(b"pass\r\n")
    (folder / "score.pyc").write_bytes(b"x")
    assert checksum(folder) == first
    (folder / "score.py").rename(folder / "scores.py")
    assert checksum(folder) != first


@pytest.mark.parametrize("line", ["{", "[]", "[" * 100_000])
def test_a_broken_line_is_named(tmp_path, line):
    path = tmp_path / "file.json"
    path.write_text(f'{{"a": 1}}\n\n{line}\n')
    with pytest.raises(ValueError, match=r"file\.json, line 3: "):
        read_json_lines(path)
    path.write_text('{"a": "1\u2028"}\n\n', encoding="utf-8")  # a line separator, but not of JSON lines
    assert read_json_lines(path) == [{"a": "1\u2028"}]
