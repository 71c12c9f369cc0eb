"""Runs the tools of an MCP server: as schemas, and as executed tools for multi-turn training."""

import asyncio
import contextlib
import json
import shlex
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from ..data.json_schema import to_tools
from ..rollouts.tool_pool import ExecutedTool

_MAX_PAGES = 100  # of a list of tools
_MAX_MESSAGE = 300  # characters of an error of the server or the package
_MAX_RESULT = 100_000  # characters of a result that are kept; the trainer shows the model far less


class MCPTools:
    """
    The tools of an MCP server, which runs while the `with` block does.

    The session runs in a thread of its own. A call that the server refuses, that takes too long, or that meets a dead
    server raises an error, which the trainer turns into a message for the model; training continues.

    Args:
        server (`str`):
            Command that starts a server, such as `"uvx mcp-server-time"`, or the address of one that runs
            (`"https://…/mcp"`; over SSE where it ends in `/sse`).
        timeout (`float`, *optional*, defaults to `30.0`):
            Seconds that the start and each request may take.
        env (`dict[str, str]`, *optional*):
            Environment variables for a command, besides a few harmless ones such as `PATH`.

    Attributes:
        schemas (`list[dict]`): Function schemas in the form of the chat-completions API.
        tools (`list[ExecutedTool]`): The same as executed tools, for `EGPOTrainer(tools=…)`.

    Raises:
        ValueError: On entering, if the package `mcp` is missing, or the server does not start or list its tools.

    Example:

    ```python
    from egpo_trl.tools import MCPTools

    with MCPTools("uvx mcp-server-time") as server:
        trainer = EGPOTrainer(..., tools=server.tools)
        trainer.train()
    ```
    """

    def __init__(self, server: str, timeout: float = 30.0, env: dict[str, str] | None = None) -> None:
        self._server = server
        self._timeout = timeout
        self._env = env
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._client: Any = None
        self._thread: threading.Thread | None = None
        self._starting: asyncio.Task[Any] | None = None
        self.schemas: list[dict[str, Any]] = []
        self.tools: list[ExecutedTool] = []

    def __enter__(self) -> "MCPTools":
        target = self._target()
        listed: Future[list[dict[str, Any]]] = Future()
        self._thread = threading.Thread(target=self._run, args=(target, listed), name="mcp-session", daemon=True)
        self._thread.start()
        try:
            found = listed.result(self._timeout)
        except TimeoutError:
            self.close()
            raise self._error(f"did not list its tools in {self._timeout:g} s") from None
        except Exception as error:
            self.close()
            raise self._error(f"does not answer: {_told(error)}") from None
        try:
            self.schemas = _schemas(found)
        except ValueError as error:
            self.close()
            raise self._error(f"lists tools that cannot be used: {error}") from None
        self.tools = [ExecutedTool(self._function(tool["function"]["name"]), tool) for tool in self.schemas]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _error(self, what: str) -> ValueError:
        return ValueError(f"the MCP server {self._server!r} {what}.")

    def close(self) -> None:
        """End the session and the server. Calls that still run fail."""
        if self._loop is not None and self._closing is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._closing.set)
                if self._starting is not None:  # the session waits for the server, not for its end
                    self._loop.call_soon_threadsafe(self._starting.cancel)
        if self._thread is not None:
            self._thread.join(self._timeout)
            self._thread = None

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """
        Call a tool.

        Args:
            name (`str`):
                Name of the tool.
            arguments (`dict`):
                Its arguments.

        Returns:
            `str`:
                The text of the result; JSON where the server gives structured content only.

        Raises:
            RuntimeError: If the tool reports an error, the call takes too long, or the server is not running.
        """
        loop, thread = self._loop, self._thread
        if loop is None or self._client is None or thread is None or not thread.is_alive():
            raise RuntimeError("the MCP server is not running")
        future = asyncio.run_coroutine_threadsafe(self._call(name, arguments), loop)
        try:
            return future.result(self._timeout + 1)
        except TimeoutError:
            future.cancel()
            raise RuntimeError(f"the MCP server did not answer within {self._timeout:g} s") from None
        except RuntimeError:
            raise
        except BaseException as error:  # a cancelled future too: the session has ended
            raise RuntimeError(f"the MCP server failed: {_told(error)}") from None

    def _function(self, name: str) -> Callable[..., str]:
        def call(**arguments: Any) -> str:
            return self.call(name, arguments)

        return call

    def _target(self) -> Any:
        """What the client of the package `mcp` connects to."""
        try:
            from mcp import StdioServerParameters
        except ImportError:
            raise ValueError("tools of MCP servers need the package mcp: pip install 'egpo-trl[mcp]'") from None
        if self._server.startswith(("http://", "https://")):
            if not urlsplit(self._server).path.rstrip("/").endswith("/sse"):
                return self._server
            from mcp.client.sse import sse_client

            return sse_client(self._server, timeout=self._timeout)
        command, *arguments = shlex.split(self._server) or [""]
        if not command:
            raise ValueError("the command that starts the MCP server is empty.")
        return StdioServerParameters(command=command, args=arguments, env=self._env)

    def _run(self, target: Any, listed: Future[list[dict[str, Any]]]) -> None:
        try:
            asyncio.run(self._session(target, listed))
        except BaseException as error:
            if not listed.done():
                listed.set_exception(_innermost(error))
        finally:
            self._client = None

    async def _session(self, target: Any, listed: Future[list[dict[str, Any]]]) -> None:
        """The whole session in one task, as the package asks for."""
        from mcp import Client

        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        self._starting = asyncio.current_task()
        async with Client(target, read_timeout_seconds=self._timeout) as client:
            found: list[dict[str, Any]] = []
            cursor = None
            for _ in range(_MAX_PAGES):
                page = await client.list_tools(cursor=cursor)
                found += [
                    {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
                    for tool in page.tools
                ]
                cursor = page.next_cursor
                if not cursor:
                    break
            self._client, self._starting = client, None
            listed.set_result(found)
            await self._closing.wait()

    async def _call(self, name: str, arguments: dict[str, Any]) -> str:
        result = await self._client.call_tool(name, arguments, read_timeout_seconds=self._timeout)
        texts = [getattr(block, "text", None) or f"[{block.type}]" for block in result.content]
        text = "\n".join(texts)
        if not texts and result.structured_content is not None:
            text = json.dumps(result.structured_content, ensure_ascii=False)
        text = text[:_MAX_RESULT]
        if result.is_error:
            raise RuntimeError(text or "the tool reports an error")
        return text


def _schemas(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Function schemas of the tools that a server lists, each under a name of its own."""
    names = [tool["name"] for tool in found]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise ValueError(f"two are called {twice!r}")
    if not found:
        raise ValueError("there is none")
    return to_tools(found)


def _innermost(error: BaseException) -> BaseException:
    """The first error of a group of errors, which says more than the group."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


def _told(error: BaseException) -> str:
    """What an error says, on one line of bounded length."""
    innermost = _innermost(error)
    return " ".join(str(innermost).split())[:_MAX_MESSAGE] or type(innermost).__name__
