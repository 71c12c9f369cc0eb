"""Tools from where users have them: MCP servers and OpenAPI documents, as schemas and as executed tools."""

from typing import Any

from .mcp import MCPTools
from .openapi import OpenAPITools

__all__ = ["MCPTools", "OpenAPITools", "read_schemas"]


def read_schemas(mcp: str | None = None, openapi: str | None = None) -> list[dict[str, Any]]:
    """Function schemas of an MCP server or of an OpenAPI document."""
    if mcp is not None:
        with MCPTools(mcp) as server:
            return server.schemas
    if openapi is None:
        raise ValueError("name an MCP server or an OpenAPI document.")
    return OpenAPITools(openapi).schemas
