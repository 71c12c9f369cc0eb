"""The process of the official code: what it cannot do, and how it is ended and started again."""

import json
import os
import signal
import subprocess
import sys

import pytest

from egpo_trl.evaluation.bfcl.sandbox import OfficialError, Sandbox, SandboxFailure
from tests.evaluation.bfcl.gold import hermes, pythonic

# Each line of the process tries something and says what came of it.
ATTEMPTS = """
import json, os, pathlib, resource, shutil, socket, subprocess, sys, urllib.request
from egpo_trl.evaluation.bfcl.restrict import restrict
inside, outside = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
done = restrict(inside, 2 * 1024**3)
def attempt(action):
    try:
        return repr(action())
    except BaseException as error:
        return type(error).__name__
def write(path):
    with open(path, "w") as file:
        file.write("x")
def fill():
    return len(bytearray(4 * 1024**3))
found = {
    "write outside": attempt(lambda: write(outside / "new")),
    "write inside": attempt(lambda: write(inside / "new")),
    "empty file inside": attempt(lambda: (inside / "empty").touch()),
    "empty file outside": attempt(lambda: (outside / "empty").touch()),
    "truncate": attempt(lambda: os.open(outside / "kept", os.O_WRONLY | os.O_TRUNC)),
    "delete": attempt(lambda: os.remove(outside / "kept")),
    "rename": attempt(lambda: os.rename(outside / "kept", outside / "moved")),
    "folder outside": attempt(lambda: os.mkdir(outside / "folder")),
    "tree": attempt(lambda: shutil.rmtree(outside)),
    "link": attempt(lambda: os.symlink(outside / "kept", inside / "link")),
    "process": attempt(lambda: subprocess.run(["true"])),
    "shell": attempt(lambda: os.system("true")),
    "fork": attempt(os.fork),
    "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
    "kill": attempt(lambda: os.kill(os.getppid(), 0)),
    "socket": attempt(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[3])), timeout=2)),
    "url": attempt(lambda: urllib.request.urlopen("http://127.0.0.1:" + sys.argv[3])),
    "memory": attempt(fill),
    "read": attempt(lambda: (outside / "kept").read_text()),
}
print(json.dumps({"done": done, "found": found}))
"""


def test_what_the_process_cannot_do(tmp_path):
    import socket

    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("kept")
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = [str(inside), str(outside), str(server.getsockname()[1])]
        run = subprocess.run([sys.executable, "-c", ATTEMPTS, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert {"limits", "audit"} <= set(answer["done"])
    found = answer["found"]
    assert found.pop("read") == "'kept'"
    assert found.pop("empty file inside") == "None"
    assert found.pop("write inside") == "OSError"  # no bytes go to any file
    assert found.pop("memory") == "MemoryError"
    assert set(found.values()) <= {"PermissionError", "URLError"}
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept"


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox("fc", max_cpu_seconds=3) as one:
        yield one


RIGHT = hermes([("calculate_triangle_area", {"base": 10, "height": 5})])


def test_it_starts_again_after_it_died(sandbox):
    assert sandbox.ask("score", id="simple_python_0", result=RIGHT) == {"valid": True}
    os.kill(sandbox._process.pid, signal.SIGKILL)
    with pytest.raises(SandboxFailure) as failure:
        sandbox.ask("score", id="simple_python_0", result=RIGHT)
    assert failure.value.reason == "crash"
    assert sandbox.ask("score", id="simple_python_0", result=RIGHT) == {"valid": True}
    assert {"limits", "audit"} <= set(sandbox.protections)


def test_errors_of_official_code(sandbox):
    with pytest.raises(OfficialError, match="KeyError: 'simple_python_9999'"):
        sandbox.ask("score", id="simple_python_9999", result=RIGHT)
    for depth in (100, 2_000, 50_000):
        deep = '{"name": "f", "arguments": {"base": ' + '{"a":' * depth + "1" + "}" * depth + "}}"
        try:
            valid = sandbox.ask("score", id="simple_python_0", result=f"<tool_call>\n{deep}\n</tool_call>")["valid"]
        except OfficialError as error:
            assert "RecursionError" in str(error)  # noqa: PT017  # how deep is too deep is Python's to say
            valid = False
        assert valid is False
    assert sandbox.ask("score", id="simple_python_0", result=RIGHT) == {"valid": True}


HOSTILE = (
    "__import__('os').system('touch FILE')",
    "open('FILE', 'w').write('x')",
    "print(1) or cd",
    "cd(folder=__import__('os').system('touch FILE')) or cd",
    "exec",
    "eval",
    "(lambda: open('FILE', 'w'))().close",
    "cd(folder='document'); import os; os.system",
    "globals().clear",
    "_load_scenario",
    "__init__",
    "cd.__func__.__globals__['__builtins__']['open']",
)


def test_hostile_names_and_arguments_are_not_executed(sandbox, tmp_path):
    file = tmp_path / "written"
    calls = [(name.replace("FILE", str(file)), {"x": f"open('{file}', 'w')"}) for name in HOSTILE]
    calls += [("cd", {"folder=__import__('os').system('true'), x": "document"}), ("cd", {"class": 1})]
    before = sandbox.ask("conversation", id="multi_turn_base_0", turns=[[hermes([("ls", {})])]])["step"]["results"]
    texts = [hermes(calls), hermes([("ls", {})])]
    step = sandbox.ask("conversation", id="multi_turn_base_0", turns=[texts[:1]])["step"]
    assert len(step["results"]) == len(calls)
    assert all(result.startswith("Error during execution: ") for result in step["results"])
    assert not file.exists()
    assert sandbox.ask("conversation", id="multi_turn_base_0", turns=[texts])["step"]["results"] == before
    verdict = sandbox.ask("score", id="multi_turn_base_0", result=[[text] for text in texts] * 2)
    assert verdict["error"]["error_type"] == "multi_turn:instance_state_mismatch"
    assert not file.exists()


def test_nothing_of_one_rollout_reaches_another(sandbox):
    wrong = [[hermes([("cd", {"folder": "document"}), ("rm", {"file_name": "final_report.pdf"})])], [], [], []]
    right = [[hermes([("ls", {})])]]
    first = sandbox.ask("conversation", id="multi_turn_base_0", turns=right)
    assert sandbox.ask("score", id="multi_turn_base_0", result=wrong)["valid"] is False
    sandbox.ask("conversation", id="multi_turn_base_0", turns=wrong)
    assert sandbox.ask("conversation", id="multi_turn_base_0", turns=right) == first


def test_endless_arithmetic_is_ended(tmp_path):
    with Sandbox("prompting", max_cpu_seconds=1) as sandbox:
        with pytest.raises(SandboxFailure) as failure:
            sandbox.ask("score", id="simple_python_0", result="[f(a=9**9**9*1)]")
        assert failure.value.reason == "timeout"
        verdict = sandbox.ask("score", id="simple_python_0", result="[f(a='a'*10**12)]")
        assert verdict["error_type"] == "ast_decoder:decoder_failed"
        file = tmp_path / "written"
        hostile = f"[f(a=open('{file}', 'w').write('x') + 1)]"
        assert sandbox.ask("score", id="simple_python_0", result=hostile)["error_type"] == "ast_decoder:decoder_failed"
        assert not file.exists()
        right = pythonic([("calculate_triangle_area", {"base": 10, "height": 5})])
        assert sandbox.ask("score", id="simple_python_0", result=right.replace("10", "2*5")) == {"valid": True}
