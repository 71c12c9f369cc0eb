"""An MCP server of a house with lamps, for the tests: over stdio, or over HTTP (`sse` or `streamable-http` and a port)."""

import os
import sys
import time

from mcp.server.mcpserver import MCPServer

server = MCPServer("house")


@server.tool()
def set_light(room: str, level: int) -> str:
    """Sets a lamp."""
    if level > 100:
        raise ValueError("a lamp has 100 levels")
    return f"{room} is at {level}"


@server.tool()
def rooms(floor: int = 0) -> list[str]:
    """Lists the rooms of a floor."""
    return ["kitchen", "hall"]


@server.tool()
def sleep(seconds: float) -> str:
    """Answers late."""
    time.sleep(seconds)
    return "awake"


@server.tool()
def flood() -> str:
    """Answers with far too much."""
    return "lamp " * 40_000


@server.tool()
def die() -> str:
    """Ends the server in the middle of the call."""
    os._exit(3)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run(sys.argv[1], port=int(sys.argv[2]))
    server.run()
