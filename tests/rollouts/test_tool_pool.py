"""Schemas of executed tools, written by hand or derived, and what rows offer of them."""

import json

import pytest

from egpo_trl import ExecutedTool
from egpo_trl.rollouts.tool_pool import ToolPool, read_schema, tool_schema

NESTED = {
    "name": "search",
    "description": "Search the archive.",
    "parameters": {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "Words to look for."},
            "filters": {
                "type": "object",
                "properties": {
                    "language": {"type": "string", "enum": ["en", "fr"], "description": "Of the document."},
                    "years": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["language"],
            },
        },
        "required": ["query"],
    },
}


def search(query, filters=None):
    return f"{query}: {filters}"


def add(a: int, b: int = 0) -> int:
    """
    Add numbers.

    Args:
        a: First.
        b: Second.
    """
    return a + b


class Desk:
    """An environment with one schema by hand and one derived."""

    tool_schemas = {"search": NESTED}  # noqa: RUF012

    def search(self, query, filters=None):
        return query

    def close(self, number: int) -> str:
        """
        Close a ticket.

        Args:
            number: Its number.
        """
        return f"closed {number}"

    def bare(self, x):
        return x


@pytest.mark.parametrize("schema", [NESTED, {"type": "function", "function": NESTED}, json.dumps(NESTED)])
def test_a_schema_by_hand_is_kept_word_for_word(schema):
    tool = ExecutedTool(search, schema)
    assert tool.schema == {"type": "function", "function": NESTED}
    assert tool_schema(tool) is tool.schema
    assert tool.__name__ == "search"
    assert tool(query="x", filters={"language": "en"}) == "x: {'language': 'en'}"


def test_the_name_is_that_of_the_schema():
    assert ExecutedTool(lambda **_: 1, {"name": "other"}).__name__ == "other"
    assert ExecutedTool(lambda: 1, {"name": "f"}).schema["function"]["parameters"]["properties"] == {}


@pytest.mark.parametrize(
    ("function", "schema", "message"),
    [
        (3, NESTED, "needs a callable, got int"),
        (search, {"description": "x"}, "function 0 lacks a 'name'"),
        (search, "[", "Not the schema of a function"),
        (search, {"name": "f", "parameters": []}, "'parameters' must be a JSON schema"),
        (search, {"name": "f", "parameters": {"type": "string"}}, "must be the schema of an object"),
        (search, {"name": "f", "description": 3}, "'description' must be a string"),
        (search, {"name": "f", "parameters": {"properties": {"x": object()}}}, "not JSON serializable"),
        (search, {"name": "f", "parameters": {"properties": {"q": {}}}}, "declares 'q', which the function does not"),
        (search, {"name": "f", "parameters": {"properties": {"filters": {}}}}, "needs 'query', which the schema"),
        (lambda x, /: x, {"name": "f"}, "needs 'x', which the schema"),
    ],
)
def test_a_schema_that_does_not_fit(function, schema, message):
    with pytest.raises(ValueError, match=message):
        ExecutedTool(function, schema)


def test_derived_schemas_are_those_of_transformers():
    from transformers.utils import get_json_schema

    assert tool_schema(add) == get_json_schema(add)


def test_methods_of_an_environment():
    desk = Desk()
    assert tool_schema(desk.search) == read_schema(NESTED)
    assert tool_schema(desk.close)["function"]["parameters"]["properties"]["number"]["type"] == "integer"
    with pytest.raises(ValueError, match=r"'bare' lacks a schema.*`tool_schemas` entry"):
        tool_schema(desk.bare)
    desk.tool_schemas["close"] = {"name": "shut"}
    try:
        with pytest.raises(ValueError, match="names 'shut'"):
            tool_schema(desk.close)
    finally:
        del desk.tool_schemas["close"]


def test_tools_without_a_schema_are_refused():
    with pytest.raises(ValueError, match=r"'search' lacks a schema.*ExecutedTool\(function, schema\)"):
        tool_schema(search)
    with pytest.raises(ValueError, match="neither a function nor a method"):
        tool_schema(json.JSONEncoder())
    with pytest.raises(ValueError, match="Two tools are called 'add'"):
        ToolPool([add, ExecutedTool(search, {**NESTED, "name": "add"})])


def test_what_a_row_offers():
    pool = ToolPool([add, ExecutedTool(search, NESTED)])
    own = {"name": "add", "description": "Another text."}
    assert [tool["function"]["name"] for tool in pool.offered(None)] == ["add", "search"]
    assert pool.offered([]) == []
    assert pool.offered([{"name": "search"}, own]) == [pool.schemas["search"], own]
    assert pool.offered([{"type": "function", "function": {"name": "add"}}]) == [pool.schemas["add"]]
    assert pool.offered([{"name": "gone"}]) == []
    assert pool.unknown([{"name": "gone"}, {"name": "add"}]) == ["gone"]
