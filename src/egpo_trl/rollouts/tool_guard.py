"""Calls tools under limits: whatever a tool does, a run gets a text or an error in bounded time.

A Python thread cannot be killed: a call that exceeds its time runs on in a daemon thread, and its result is thrown away.
Code that holds the interpreter's lock all the time, which only extension code can, needs a separate process.
"""

import asyncio
import contextvars
import copy
import inspect
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from ..tool_calls.argument_types import wrong_type
from ..tool_calls.matching import Schema

_MAX_ABANDONED = 8  # calls of one tool that may still run after their time
_MAX_NAME = 64  # characters of a name that a model made up, in messages
_LOOP_PATIENCE = 1.0  # seconds that an event loop has to show that it is alive

Content = str | list[dict[str, Any]]
COUNTERS = ("not_offered", "timeouts", "truncated", "wrong_types")


class ToolError(Exception):
    """What went wrong with a call, in words for the model."""


class ToolTimeout(ToolError):
    """A call took too long and may still be running."""


class ToolLimits(NamedTuple):
    timeout: float | None
    max_characters: int


class EventLoops:
    """The event loop of `async` tools, in a daemon thread; replaced where a tool blocks it."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="tools-event-loop", daemon=True).start()
        return self._loop

    def replace_if_blocked(self) -> None:
        """Start another loop if a coroutine keeps this one from running anything else."""
        if self._loop is None:
            return
        alive = threading.Event()
        self._loop.call_soon_threadsafe(alive.set)
        if not alive.wait(_LOOP_PATIENCE):
            self._loop = None


class ToolGuard:
    def __init__(
        self,
        limits: ToolLimits,
        loops: EventLoops,
        count: Callable[[str, float], None],
        keeps_blocks: bool = False,
    ) -> None:
        self.loops = loops
        self._limits = limits
        self._count = count
        self._keeps_blocks = keeps_blocks
        self._abandoned: dict[str, list[threading.Thread]] = defaultdict(list)

    def report(self, event: str | None = None) -> None:
        """Count a call."""
        for name in COUNTERS:
            self._count(f"tools/{name}", float(name == event))

    def call(self, name: str, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Content:
        """Call a tool, and count the call."""
        hung = self._abandoned[name] = [thread for thread in self._abandoned[name] if thread.is_alive()]
        if len(hung) >= _MAX_ABANDONED:
            self.report("timeouts")
            raise ToolError(f"Tool {name!r} does not answer at the moment.")
        futures: list[Future[Any]] = []
        outcome: list[tuple[Content, bool] | ToolError] = []

        def work() -> None:
            try:
                outcome.append(self._content(tool(**copy.deepcopy(dict(arguments))), futures))
            except KeyboardInterrupt:
                if self._limits.timeout is None:
                    raise  # the user's: this is the trainer's own thread
                outcome.append(ToolError("KeyboardInterrupt"))
            except BaseException as error:
                outcome.append(ToolError(self._cut(_message_of(error))[0]))

        if self._limits.timeout is None:
            work()
        else:
            self._wait(name, work, self._limits.timeout, futures)
        (result,) = outcome
        if isinstance(result, ToolError):
            self.report()
            raise result
        content, is_cut = result
        self.report("truncated" if is_cut else None)
        return content

    def _wait(self, name: str, work: Callable[[], None], timeout: float, futures: list[Future[Any]]) -> None:
        done = threading.Event()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                context.run(work)
            finally:
                done.set()

        thread = threading.Thread(target=run, name=f"tool-{name}", daemon=True)
        thread.start()
        if not done.wait(timeout):
            self._abandoned[name].append(thread)
            for future in futures:
                future.cancel()
                self.loops.replace_if_blocked()
            self.report("timeouts")
            raise ToolTimeout(f"Tool {name!r} took longer than {timeout:g} seconds.")

    def _content(self, result: Any, futures: list[Future[Any]]) -> tuple[Content, bool]:
        """What the model sees of a result, and whether it was cut."""
        if inspect.isawaitable(result):
            futures.append(asyncio.run_coroutine_threadsafe(_wait_for(result), self.loops.loop))
            result = futures[-1].result()
        if self._keeps_blocks and isinstance(result, list) and all(map(_is_block, result)):
            texts = [self._cut(part["text"]) if part["type"] == "text" else None for part in result]
            blocks = [
                part if text is None else {"type": "text", "text": text[0]}
                for part, text in zip(result, texts, strict=True)
            ]
            return blocks, any(text is not None and text[1] for text in texts)
        if isinstance(result, (dict, list, tuple)):
            result = json.dumps(result, ensure_ascii=False, default=str)
        return self._cut(str(result))

    def _cut(self, text: str) -> tuple[str, bool]:
        over = len(text) - self._limits.max_characters
        if over <= 0:
            return text, False
        return f"{text[: self._limits.max_characters]}… [{over} more characters]", True


class RowTools:
    """The tools of one rollout, where TRL looks up a call: every name is found, and refused unless the row offers it."""

    def __init__(
        self,
        tools: Mapping[str, Callable[..., Any]],
        guard: ToolGuard,
        environment: Any = None,
        schemas: Mapping[str, Schema] | None = None,
    ) -> None:
        self._tools = tools
        self._guard = guard
        self._environment = environment
        self._schemas = schemas or {}
        self.is_abandoned = False  # whether a call still runs in the environment, or did

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> Callable[..., Content]:
        if name not in self._tools:
            self._guard.report("not_offered")
            available = f"Available tools: {', '.join(self._tools)}." if self._tools else "No tools are available."
            raise ToolError(f"Tool {_short(name)!r} is not available. {available}")

        def call(**arguments: Any) -> Content:
            return self._call(name, arguments)

        # Python's own message about arguments that are not a mapping names the function.
        call.__module__, call.__qualname__ = "builtins", _short(name)
        return call

    def _call(self, name: str, arguments: Mapping[str, Any]) -> Content:
        tool = self._tools[name]
        problem = wrong_type(arguments, self._schemas.get(name, {}))
        if problem is not None:
            self._guard.report("wrong_types")
            raise ToolError(f"Tool {name!r}: {problem}.")
        is_method = self._environment is not None and getattr(tool, "__self__", None) is self._environment
        if is_method and self.is_abandoned:
            self._guard.report("timeouts")
            raise ToolError(f"Tool {name!r} is not available: an earlier call did not end.")
        try:
            return self._guard.call(name, tool, arguments)
        except ToolTimeout:
            self.is_abandoned |= is_method
            raise


async def _wait_for(result: Any) -> Any:
    return await result


def _is_block(part: Any) -> bool:
    """Whether a value is a content block that TRL hands to a processor: an image or a text."""
    if not isinstance(part, dict):
        return False
    return (part.get("type") == "image" and "image" in part) or (
        part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def _message_of(error: BaseException) -> str:
    try:
        return str(error) or type(error).__name__
    except Exception:  # an error that cannot even be printed
        return type(error).__name__


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…"
