"""The process that official scorers run in: how it is ended, and how its failures are reported."""

import textwrap
import time
from pathlib import Path

import pytest

from egpo_trl.evaluation.official.process import ScorerFailed, run_scorer


@pytest.fixture
def run(tmp_path):
    """Runs code in a folder, by a module of the standard library that runs what it is given."""
    folder = tmp_path / "folder"
    folder.mkdir()

    def start(code: str, timeout: float = 20.0) -> Path:
        run_scorer("timeit", ["-n", "1", "-r", "1", "-s", textwrap.dedent(code), "pass"], folder, timeout)
        return folder

    return start


def test_works_in_its_folder_with_neither_tokens_nor_home(run, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    folder = run("import os, pathlib; pathlib.Path('seen').write_text(repr(dict(os.environ)))")
    seen = (folder / "seen").read_text()
    assert "secret" not in seen
    assert f"'HOME': {str(folder)!r}" in seen


def test_an_error_is_reported_with_the_end_of_the_output(run):
    with pytest.raises(ScorerFailed, match=r"(?s)ended with status 1.*ZeroDivisionError"):
        run("print('x' * 100_000)\n1 / 0")


def test_a_killed_process_is_reported(run):
    with pytest.raises(ScorerFailed, match="signal 9"):
        run("import os; os.kill(os.getpid(), 9)")


def test_a_process_that_hangs_ends_with_its_children(run, tmp_path):
    code = """
        import pathlib, subprocess, sys, time
        child = "import time, pathlib; time.sleep(3); pathlib.Path('alive').touch()"
        subprocess.Popen([sys.executable, "-c", child])
        time.sleep(60)
    """
    begin = time.monotonic()
    with pytest.raises(ScorerFailed, match=r"did not end within 1\.5 s"):
        run(code, timeout=1.5)
    assert time.monotonic() - begin < 30
    time.sleep(3)
    assert not (tmp_path / "folder" / "alive").exists()
