"""Tools from where users have them: MCP servers and OpenAPI documents, as schemas and as executed tools."""

from typing import Any

from .mcp import MCPTools
from .openapi import OpenAPITools

__all__ = ["MCPTools", "OpenAPITools", "read_schemas"]


def read_schemas(mcp: str | None = None, openapi: str | None = None) -> list[dict[str, Any]]:
    """
    Function schemas of an MCP server or of an OpenAPI document.

    Args:
        mcp (`str`, *optional*):
            Command that starts a server, or its address.
        openapi (`str`, *optional*):
            File or address of a document.

    Returns:
        `list[dict]`:
            Function schemas in the form of the chat-completions API.

    Raises:
        ValueError: If the server cannot be started or asked, or the document cannot be read.
    """
    if mcp is not None:
        with MCPTools(mcp) as server:
            return server.schemas
    if openapi is None:
        raise ValueError("name an MCP server or an OpenAPI document.")
    return OpenAPITools(openapi).schemas
