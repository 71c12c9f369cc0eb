"""The file system does what its tools say."""

import json

import pytest

from egpo_trl.environments import FileSystem
from egpo_trl.environments.protocol import MAX_ITEMS


@pytest.fixture
def files():
    environment = FileSystem()
    environment.reset(
        initial_state=json.dumps(
            {"folders": {"work": {"plan": "one", "memo": "two"}, "home": {"memo": "three"}, "old": {}}}
        )
    )
    return environment


def test_reading(files):
    before = files.state
    assert json.loads(files.list_files("work")) == {"files": ["memo", "plan"]}
    assert json.loads(files.find_file("plan")) == {"folder": "work"}
    assert json.loads(files.find_file("memo")) == {"folder": "home"}  # the first by name
    assert json.loads(files.read_file("memo", "work")) == {"text": "two"}
    assert files.state == before


def test_writing(files):
    assert json.loads(files.write_file("plan", "old", "new")) == {"written": "plan"}
    assert json.loads(files.write_file("plan", "work", "changed")) == {"written": "plan"}
    assert json.loads(files.move_file("memo", "work", "old")) == {"moved": "memo"}
    assert json.loads(files.delete_file("memo", "home")) == {"deleted": "memo"}
    assert files.state == {"folders": {"work": {"plan": "changed"}, "home": {}, "old": {"plan": "new", "memo": "two"}}}


@pytest.mark.parametrize(
    ("tool", "arguments", "error"),
    [
        ("list_files", ["nowhere"], "no such folder"),
        ("find_file", ["nothing"], "no such file"),
        ("read_file", ["plan", "home"], "no such file"),
        ("write_file", ["plan", "nowhere", ""], "no such folder"),
        ("move_file", ["plan", "home", "old"], "no such file"),
        ("move_file", ["plan", "work", "nowhere"], "no such folder"),
        ("move_file", ["memo", "work", "home"], "the file exists"),
        ("delete_file", ["plan", "home"], "no such file"),
    ],
)
def test_errors_change_nothing(files, tool, arguments, error):
    before = files.state
    assert json.loads(getattr(files, tool)(*arguments)) == {"error": error}
    assert files.state == before


def test_the_state_is_bounded(files):
    answers = [files.write_file(f"f{number}", "old", "") for number in range(MAX_ITEMS)]
    assert json.loads(answers[-1]) == {"error": "too many files"}
    assert sum(map(len, files.state["folders"].values())) == MAX_ITEMS


def test_a_folder_of_something_else_is_refused():
    with pytest.raises(ValueError, match="folder 'a' must map names to texts"):
        FileSystem().reset(initial_state='{"folders": {"a": {"x": 1}}}')
