"""What a process that runs official code cannot do."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

# Each line of the process tries something and says what came of it.
ATTEMPTS = """
import json, os, pathlib, resource, shutil, socket, subprocess, sys, urllib.request
from egpo_trl.evaluation.official.restrict import restrict
inside, outside = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
done = restrict(inside, 2 * 1024**3, **json.loads(sys.argv[4]))
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
    "delete inside": attempt(lambda: os.remove(inside / "old")),
    "delete by descriptor": attempt(lambda: os.remove("kept", dir_fd=os.open(outside, os.O_RDONLY))),
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


def attempt_all(tmp_path: Path, **exceptions) -> dict[str, str]:
    """What came of each attempt under the rules with some exceptions; checks that nothing outside was changed."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "old").touch()
    (outside / "kept").write_text("kept")
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = [str(inside), str(outside), str(server.getsockname()[1]), json.dumps(exceptions)]
        run = subprocess.run([sys.executable, "-c", ATTEMPTS, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert {"limits", "audit"} <= set(answer["done"])
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept"
    found = answer["found"]
    assert found.pop("read") == "'kept'"
    assert found.pop("empty file inside") == "None"
    assert found.pop("memory") == "MemoryError"
    return found


def test_what_the_process_cannot_do(tmp_path):
    found = attempt_all(tmp_path)
    assert found.pop("write inside") == "OSError"  # no bytes go to any file
    assert set(found.values()) <= {"PermissionError", "URLError"}


def test_what_the_exceptions_allow(tmp_path):
    found = attempt_all(tmp_path, max_file_bytes=1, may_remove=True)
    assert found.pop("write inside") == "None"
    assert found.pop("delete inside") == "None"
    assert set(found.values()) <= {"PermissionError", "URLError"}
    assert (tmp_path / "inside" / "new").read_text() == "x"


def test_a_file_that_grows_too_long(tmp_path):
    code = """
import pathlib, sys
from egpo_trl.evaluation.official.restrict import restrict
restrict(pathlib.Path(sys.argv[1]), max_file_bytes=1000)
pathlib.Path(sys.argv[1], "long").write_bytes(bytes(10_000))
"""
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "File too large" in run.stderr
    assert (tmp_path / "long").stat().st_size <= 1000


def test_the_network_is_gone_where_the_system_can_take_it(tmp_path):
    code = """
import pathlib, socket, sys
from egpo_trl.evaluation.official.restrict import restrict
done = restrict(pathlib.Path(sys.argv[1]))
print("network" in done, [name for _, name in socket.if_nameindex()])
"""
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("False") or run.stdout.strip() == "True ['lo']"


def test_endless_work_is_ended(tmp_path):
    code = "from egpo_trl.evaluation.official.restrict import limit_cpu\nlimit_cpu(1)\nwhile True: pass"
    run = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert run.returncode == -signal.SIGXCPU
