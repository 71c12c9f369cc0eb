"""Tools of a real MCP server over HTTP: by the command, in a training step, and servers that are broken."""

import json
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from egpo_trl.cli import main
from egpo_trl.tools import MCPTools
from tests.scripted import Turn, embedded, scripted_trainer

PATHS = {"streamable-http": "mcp", "sse": "sse"}
TOOLS = ["set_light", "rooms", "sleep", "flood", "die"]


def start(transport):
    """A server in a process of its own, and its address once it accepts connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = Path(__file__).parent / "house_server.py"
    process = subprocess.Popen([sys.executable, str(file), transport, str(port)], stderr=subprocess.DEVNULL)
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, f"http://127.0.0.1:{port}/{PATHS[transport]}"
        time.sleep(0.1)
    process.kill()
    raise AssertionError("the server does not start")


@pytest.fixture(scope="module", params=PATHS)
def address(request):
    process, url = start(request.param)
    yield url
    process.kill()
    process.wait()


def test_by_command(tmp_path, capsys, address):
    main(["tools", "--mcp", address, "--output", str(tmp_path / "tools.json")])
    assert "5 functions" in capsys.readouterr().out
    assert [schema["function"]["name"] for schema in json.loads((tmp_path / "tools.json").read_text())] == TOOLS


def test_calls_and_errors(address):
    with MCPTools(address, timeout=60) as server:
        tools = {tool.__name__: tool for tool in server.tools}
        assert tools["set_light"](room="kitchen", level=4) == "kitchen is at 4"
        assert tools["rooms"]() == "kitchen\nhall"
        assert len(tools["flood"]()) == 100_000
        with pytest.raises(RuntimeError, match=r"a lamp has 100 levels|Error executing tool set_light"):
            tools["set_light"](room="kitchen", level=400)
        server._timeout = 1
        with pytest.raises(RuntimeError, match=r"did not answer within|timed out|Timed out"):
            tools["sleep"](seconds=3)
        server._timeout = 60  # for the end of the session, on a machine that is busy
    assert not any(thread.name == "mcp-session" for thread in threading.enumerate())


def test_a_training_step(tmp_path, tiny_tokenizer, address):
    dialect = embedded(tiny_tokenizer)
    calls = [("set_light", {"room": "hall", "level": 7}), ("set_light", {"room": "hall", "level": 700}), ("rooms", {})]
    turns = [
        Turn("call", "\n\n" + "\n".join(dialect.call(name, **given) for name, given in calls)),
        Turn("all is well", "\n\nDone."),
    ]
    with MCPTools(address, timeout=60) as server:
        trainer = scripted_trainer(tmp_path, dialect, [turns] * 4, max_completion_length=900, tools=server.tools)
        trainer.train()
    assert trainer.state.global_step == 1
    for rollout in trainer.messages[0]:
        results = [message["content"] for message in rollout if message["role"] == "tool"]
        assert results[0] == "hall is at 7"
        assert "error" in results[1]
        assert results[2] == "kitchen\nhall"
    assert trainer.state.log_history[0]["tools/failure_frequency"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("transport", PATHS)
def test_a_server_that_dies_in_a_call(transport):
    process, url = start(transport)
    with MCPTools(url, timeout=10) as server:
        tools = {tool.__name__: tool for tool in server.tools}
        with pytest.raises(RuntimeError):
            tools["die"]()
        process.wait(timeout=30)
        start_of_call = time.monotonic()
        with pytest.raises(RuntimeError):
            tools["rooms"]()
        assert time.monotonic() - start_of_call < 15
    assert not any(thread.name == "mcp-session" for thread in threading.enumerate())


def answer(message, result):
    return json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": result})


INITIALIZED = {
    "protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"},
}  # fmt: skip
LAMP = {"name": "lamp", "inputSchema": {"type": "object"}}


def lists(*tools):
    """A server that lists these tools, whatever they are."""

    def reply(message):
        method = message.get("method")
        if method == "initialize":
            return 200, answer(message, INITIALIZED)
        return (200, answer(message, {"tools": list(tools)})) if method == "tools/list" else (405, "")

    return reply


# How a server answers each message, and what is said of it. A further kind of broken server is a line.
BROKEN = {
    "not found": (lambda message: (404, "gone"), "does not answer"),
    "not json": (lambda message: (200, "{lamp"), "does not answer|did not list"),
    "another json": (lambda message: (200, "[1, 2]"), "does not answer|did not list"),
    "hangs": (lambda message: time.sleep(6) or (200, ""), "does not answer|did not list its tools in 3 s"),
    "the same name twice": (lists(LAMP, LAMP), "lists tools that cannot be used: two are called 'lamp'"),
    "no tool": (lists(), "lists tools that cannot be used: there is none"),
    "a tool without a name": (lists({"inputSchema": {}}), "does not answer"),
    "a schema that is none": (lists({**LAMP, "inputSchema": 7}), "does not answer"),
    "a type that is none": (lists({**LAMP, "inputSchema": {"type": "object", "properties": 7}}), "does not answer"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_servers_are_one_error(kind, capsys):
    reply, message = BROKEN[kind]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, text = reply(json.loads(body))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/mcp"
        with pytest.raises(ValueError, match=message) as raised, MCPTools(url, timeout=3):
            pass
        server.shutdown()
    assert str(raised.value).startswith(f"the MCP server {url!r} ")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_no_server_there():
    with pytest.raises(SystemExit, match=r"egpo-trl tools: the MCP server 'http://127.0.0.1:9/mcp' does not answer"):
        main(["tools", "--mcp", "http://127.0.0.1:9/mcp"])
