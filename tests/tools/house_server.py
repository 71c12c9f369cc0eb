"""An MCP server of a house with lamps, over stdio, for the tests."""

import os
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
def die() -> str:
    """Ends the server in the middle of the call."""
    os._exit(3)


if __name__ == "__main__":
    server.run()
