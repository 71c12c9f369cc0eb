"""Hostile tools: every call ends in bounded time with a short text or an error for the model."""

import asyncio
import threading
import time
from collections import defaultdict

import pytest

from egpo_trl.rollouts.tool_guard import EventLoops, RowTools, ToolError, ToolGuard, ToolLimits, ToolTimeout


class Counts(defaultdict):
    def __init__(self):
        super().__init__(list)

    def __call__(self, name, value):
        self[name].append(value)

    def total(self, name):
        return sum(self[f"tools/{name}"])


@pytest.fixture
def counts():
    return Counts()


def make(counts, timeout=5.0, characters=100, **kwargs):
    return ToolGuard(ToolLimits(timeout, characters), EventLoops(), counts, **kwargs)


class Unprintable:
    def __str__(self):
        raise RuntimeError("not printable")


class SlowToPrint:
    def __str__(self):
        time.sleep(30)
        return ""


class BadError(Exception):
    def __str__(self):
        raise RuntimeError


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("timeout", [5.0, None])
@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("plain", "plain"),
        (3, "3"),
        (None, "None"),
        (True, "True"),
        ({"a": [1, "é"], "b": None}, '{"a": [1, "é"], "b": null}'),
        ([1, {"x": "y"}], '[1, {"x": "y"}]'),
        (("a", 1), '["a", 1]'),
        ([{"type": "text", "text": "x"}], '[{"type": "text", "text": "x"}]'),
        ({"when": {1}}, '{"when": "{1}"}'),
        (b"\xff", "b'\\xff'"),
        ("", ""),
    ],
)
def test_results_become_text(counts, timeout, result, text):
    assert make(counts, timeout).call("f", lambda: result, {}) == text
    assert counts.total("timeouts") == counts.total("truncated") == 0


@pytest.mark.parametrize("timeout", [5.0, None])
def test_exceptions_become_messages(counts, timeout):
    guard = make(counts, timeout)

    def fail(error):
        def tool():
            raise error

        return tool

    for error, message in [
        (ValueError("no such file"), "^no such file$"),
        (KeyError("x"), "^'x'$"),
        (RuntimeError(), "^RuntimeError$"),
        (SystemExit(3), "^3$"),
        (GeneratorExit(), "^GeneratorExit$"),
        (TimeoutError("the server"), "^the server$"),
        (BadError(), "^BadError$"),
        (ValueError("x" * 10**7), r"^x{100}… \[9999900 more characters\]$"),
    ]:
        with pytest.raises(ToolError, match=message) as caught:
            guard.call("f", fail(error), {})
        assert not isinstance(caught.value, ToolTimeout)
    for result in (Unprintable(), nested(100_000), {"x": Unprintable()}):
        with pytest.raises(ToolError):
            guard.call("f", lambda result=result: result, {})
    with pytest.raises(ToolError, match="unexpected keyword argument 'b'"):
        guard.call("f", lambda a: a, {"a": 1, "b": 2})
    with pytest.raises(KeyboardInterrupt) if timeout is None else pytest.raises(ToolError, match="KeyboardInterrupt"):
        guard.call("f", fail(KeyboardInterrupt()), {})
    assert counts.total("timeouts") == 0


def test_megabytes_are_cut(counts):
    guard = make(counts, characters=10)
    assert guard.call("f", lambda: "a" * 10, {}) == "a" * 10
    assert guard.call("f", lambda: "a" * 5_000_000, {}) == "a" * 10 + "… [4999990 more characters]"
    assert len(guard.call("f", lambda: list(range(10**5)), {})) < 60
    assert counts["tools/truncated"] == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("hang", [lambda: time.sleep(60), lambda: SlowToPrint(), lambda: threading.Event().wait()])
def test_a_call_that_hangs_is_abandoned(counts, hang):
    guard = make(counts, timeout=0.1)
    start = time.monotonic()
    with pytest.raises(ToolTimeout, match=r"Tool 'f' took longer than 0\.1 seconds"):
        guard.call("f", hang, {})
    assert time.monotonic() - start < 10
    assert guard.call("g", lambda: 1, {}) == "1"  # others go on
    assert counts["tools/timeouts"] == [1.0, 0.0]


def test_a_busy_loop_is_abandoned(counts):
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            pass

    with pytest.raises(ToolTimeout):
        make(counts, timeout=0.1).call("f", spin, {})
    stop.set()


def test_a_tool_that_always_hangs_is_no_longer_started(counts):
    guard, release, started = make(counts, timeout=0.02), threading.Event(), []

    def hang():
        started.append(1)
        release.wait()

    for _ in range(8):
        with pytest.raises(ToolTimeout):
            guard.call("f", hang, {})
    with pytest.raises(ToolError, match="does not answer"):
        guard.call("f", hang, {})
    assert len(started) == 8
    release.set()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            assert guard.call("f", lambda: "back", {}) == "back"
            break
        except ToolError:
            time.sleep(0.05)
    else:
        pytest.fail("the tool stays refused although its calls have ended")


def test_async_tools(counts):
    guard = make(counts, timeout=5.0)

    async def double(x):
        await asyncio.sleep(0)
        return 2 * x

    async def fail():
        raise ValueError("later")

    assert guard.call("f", double, {"x": 2}) == "4"
    assert make(counts, timeout=None).call("f", double, {"x": 3}) == "6"
    with pytest.raises(ToolError, match="later"):
        guard.call("f", fail, {})


def test_async_tools_that_hang(counts):
    guard = make(counts, timeout=0.2)
    ended = threading.Event()

    async def wait():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def block():
        time.sleep(20)

    async def fine():
        return "ok"

    with pytest.raises(ToolTimeout):
        guard.call("f", wait, {})
    assert ended.wait(5)  # a coroutine can be cancelled
    loop = guard.loops.loop
    with pytest.raises(ToolTimeout):
        guard.call("g", block, {})
    assert guard.loops.loop is not loop  # the blocked loop is left behind
    assert guard.call("h", fine, {}) == "ok"


def test_a_tool_cannot_change_what_the_model_said(counts):
    arguments = {"items": [1, 2]}
    make(counts).call("f", lambda items: items.clear(), arguments)
    assert arguments == {"items": [1, 2]}


def test_content_blocks_are_for_models_that_see(counts):
    blocks = [{"type": "image", "image": object()}, {"type": "text", "text": "x" * 200}]
    result = make(counts, keeps_blocks=True).call("f", lambda: blocks, {})
    assert result[0] is blocks[0]
    assert result[1]["text"] == "x" * 100 + "… [100 more characters]"
    assert make(counts, keeps_blocks=True).call("f", lambda: [1], {}) == "[1]"


class Shop:
    def buy(self):
        time.sleep(60)

    def look(self):
        return "open"


def test_an_environment_is_closed_behind_a_call_that_hangs(counts):
    shop = Shop()
    row = RowTools({"buy": shop.buy, "look": shop.look, "f": lambda: "f"}, make(counts, timeout=0.1), shop)
    assert row["look"]() == "open"
    with pytest.raises(ToolTimeout):
        row["buy"]()
    assert row.is_abandoned
    with pytest.raises(ToolError, match="an earlier call did not end"):
        row["look"]()
    assert row["f"]() == "f"


def test_what_a_row_does_not_offer_is_refused(counts):
    row = RowTools({"f": lambda: 1, "g": lambda: 2}, make(counts))
    assert "anything" in row
    with pytest.raises(ToolError, match=r"Tool 'rm' is not available\. Available tools: f, g\."):
        row["rm"]
    with pytest.raises(ToolError, match="No tools are available"):
        RowTools({}, make(counts))["f"]
    with pytest.raises(ToolError) as caught:
        row["x" * 10**6]
    assert len(str(caught.value)) < 200
    assert counts["tools/not_offered"] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("arguments", ["a", 3, [1], None])
def test_arguments_that_are_no_object(counts, arguments):
    row = RowTools({"f": lambda: 1}, make(counts))
    with pytest.raises(TypeError, match=r"^f\(\) argument after \*\* must be a mapping"):
        row["f"](**arguments)


def test_odd_argument_names(counts):
    row = RowTools({"f": lambda **kwargs: sorted(kwargs)}, make(counts))
    assert row["f"](**{"self": 1, "name": 2, "tool": 3, "": 4}) == '["", "name", "self", "tool"]'


def test_a_call_is_cheap(counts):
    """The thread of a call costs well under a millisecond of CPU time."""
    guard = make(counts)
    start = time.process_time()
    for _ in range(200):
        guard.call("f", lambda: "x", {})
    assert (time.process_time() - start) / 200 < 0.01
