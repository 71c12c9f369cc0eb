"""Tools of a real MCP server over stdio: schemas, calls, errors, a server that dies, and a rollout under the guard."""

import json
import sys
import threading
import time
from pathlib import Path

import pytest

from egpo_trl.cli import main
from egpo_trl.rollouts.tool_guard import EventLoops, RowTools, ToolError, ToolGuard, ToolLimits
from egpo_trl.tools import MCPTools

SERVER = f"{sys.executable} {Path(__file__).parent / 'house_server.py'}"


def children():
    return {
        path.name for path in Path("/proc").iterdir() if path.name.isdigit() and "house_server" in _command(path.name)
    }  # fmt: skip


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_schemas_calls_and_errors():
    with MCPTools(SERVER, timeout=60) as server:
        tools = {tool.__name__: tool for tool in server.tools}
        assert [schema["function"]["name"] for schema in server.schemas] == list(tools)
        schema = tools["set_light"].schema["function"]
        assert schema["description"] == "Sets a lamp."
        assert schema["parameters"]["required"] == ["room", "level"]
        assert tools["set_light"](room="kitchen", level=4) == "kitchen is at 4"
        assert tools["rooms"]() == "kitchen\nhall"
        with pytest.raises(RuntimeError, match="Error executing tool set_light"):
            tools["set_light"](room="kitchen", level=400)
        with pytest.raises(RuntimeError, match="valid integer"):
            tools["set_light"](room="kitchen", level="x")
        assert children()
    assert not children()
    assert not any(thread.name == "mcp-session" for thread in threading.enumerate())
    with pytest.raises(RuntimeError, match="the MCP server is not running"):
        tools["rooms"]()


def test_a_slow_call_and_a_dead_server_are_errors_and_the_run_continues():
    guard = ToolGuard(ToolLimits(timeout=20, max_characters=12), EventLoops(), lambda name, value: None)
    with MCPTools(SERVER, timeout=60) as server:
        server._timeout = 1
        tools = RowTools({tool.__name__: tool for tool in server.tools}, guard)
        assert tools["set_light"](room="kitchen", level=4).startswith("kitchen is a… [")  # the guard's limit
        start = time.monotonic()
        with pytest.raises(ToolError, match="the MCP serv"):
            tools["sleep"](seconds=30)
        assert time.monotonic() - start < 10
        with pytest.raises(ToolError, match="the MCP serv"):
            tools["die"]()
        with pytest.raises(ToolError, match="the MCP serv"):
            tools["rooms"]()
    assert not children()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-command --x", "no-such-command"),
        (f"{sys.executable} -c pass", "does not answer"),
        ("", "is empty"),
        (f"{sys.executable} -c 'import time; time.sleep(60)'", "did not list its tools in 3 s|does not answer"),
    ],
)
def test_servers_that_do_not_start(command, message):
    with pytest.raises(ValueError, match=message), MCPTools(command, timeout=3):
        pass
    end = time.monotonic() + 4  # a session that is not ended waits for the server longer than that
    while (left := any(thread.name == "mcp-session" for thread in threading.enumerate())) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left


def test_by_command(tmp_path, capsys):
    main(["tools", "--mcp", SERVER, "--output", str(tmp_path / "tools.json")])
    assert "5 functions" in capsys.readouterr().out
    names = [schema["function"]["name"] for schema in json.loads((tmp_path / "tools.json").read_text())]
    assert names == ["set_light", "rooms", "sleep", "flood", "die"]
    call = {"name": "set_light", "arguments": {"room": "kitchen", "level": 4}}
    messages = [{"role": "user", "content": "?"}, {"role": "tool_call", "content": json.dumps(call)}]
    (tmp_path / "log.jsonl").write_text(json.dumps({"messages": messages}))
    main(
        [
            "convert",
            str(tmp_path / "log.jsonl"),
            "--tools",
            str(tmp_path / "tools.json"),
            "--output",
            str(tmp_path / "rows.jsonl"),
        ]
    )
    (row,) = map(json.loads, (tmp_path / "rows.jsonl").open())
    assert json.loads(row["reference"]) == [call]
    with pytest.raises(SystemExit, match="egpo-trl tools: the MCP server 'no-such' does not answer"):
        main(["tools", "--mcp", "no-such"])


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(ValueError, match=r"pip install 'egpo-trl\[mcp\]'"), MCPTools("x"):
        pass
