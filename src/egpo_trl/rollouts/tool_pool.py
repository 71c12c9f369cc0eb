"""The tools that a trainer executes, with the schemas that the model sees, and what each row offers of them."""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..tool_calls.calls import load_json, parse_tools

FunctionSchema = dict[str, Any]


class ExecutedTool:
    """
    A callable with a hand-written JSON schema, for the `tools` of an [`EGPOTrainer`].

    TRL derives schemas from type hints and docstrings, which cannot say everything: nested objects, enumerations of
    nested fields, a description that is not the docstring. Here the schema is what the model sees, word for word.

    Args:
        function (`Callable`):
            What is called with the arguments as keywords, plain or `async`. It needs neither type hints nor a docstring.
        schema (`dict` or `str`):
            Function schema `{"name", "description", "parameters"}`, with or without the `{"type": "function"}` wrapper,
            or its JSON text. Its name is the tool's, whatever the function is called.

    Raises:
        ValueError: If the schema is malformed, or if the function does not take the arguments that the schema declares.

    Example:

    ```python
    >>> from egpo_trl import ExecutedTool

    >>> def search(query, filters=None): ...

    >>> tool = ExecutedTool(
    ...     search,
    ...     {
    ...         "name": "search",
    ...         "description": "Search the archive.",
    ...         "parameters": {
    ...             "type": "object",
    ...             "properties": {
    ...                 "query": {"type": "string", "description": "Words to look for."},
    ...                 "filters": {
    ...                     "type": "object",
    ...                     "properties": {"language": {"type": "string", "enum": ["en", "fr"]}},
    ...                 },
    ...             },
    ...             "required": ["query"],
    ...         },
    ...     },
    ... )
    ```
    """

    def __init__(self, function: Callable[..., Any], schema: Mapping[str, Any] | str) -> None:
        if not callable(function):
            raise ValueError(f"ExecutedTool needs a callable, got {type(function).__name__}.")
        self.function = function
        self.schema = read_schema(schema)
        self.__name__: str = self.schema["function"]["name"]
        _check_signature(function, self.schema)

    def __call__(self, /, **arguments: Any) -> Any:
        return self.function(**arguments)


def read_schema(schema: Mapping[str, Any] | str) -> FunctionSchema:
    """A function schema in the form that chat templates take."""
    try:
        value = load_json(schema if isinstance(schema, str) else json.dumps(schema))
        parse_tools([value])
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"Not the schema of a function: {error}") from None
    function = value.get("function", value)
    if not isinstance(function.get("description", ""), str):
        raise ValueError(f"Function {function['name']!r}: 'description' must be a string.")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if parameters.get("type", "object") != "object" or not isinstance(parameters.get("properties", {}), dict):
        raise ValueError(f"Function {function['name']!r}: 'parameters' must be the schema of an object.")
    return {"type": "function", "function": {**function, "parameters": parameters}}


def _check_signature(function: Callable[..., Any], schema: FunctionSchema) -> None:
    """The schema must not promise arguments that the function refuses, nor hide one that it needs."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # some built-in functions tell nothing
        return
    name = schema["function"]["name"]
    declared = schema["function"]["parameters"].get("properties", {})
    keywords = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    unknown = [key for key in declared if key not in keywords]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        raise ValueError(f"Tool {name!r}: the schema declares {unknown[0]!r}, which the function does not take.")
    needed = [key for key, p in keywords.items() if p.default is p.empty and key not in declared]
    needed += [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
    if needed:
        raise ValueError(f"Tool {name!r}: the function needs {needed[0]!r}, which the schema does not declare.")


def tool_schema(tool: Callable[..., Any]) -> FunctionSchema:
    """Schema of a tool: written by hand, else what transformers reads off its hints and docstring."""
    from transformers.utils import get_json_schema

    if isinstance(tool, ExecutedTool):
        return tool.schema
    name = getattr(tool, "__name__", None)
    if name is None or not (inspect.isfunction(tool) or inspect.ismethod(tool)):
        raise ValueError(f"Tool {tool!r} is neither a function nor a method. Wrap it: ExecutedTool(callable, schema).")
    owner = getattr(tool, "__self__", None)
    by_hand = getattr(type(owner), "tool_schemas", {}).get(name)
    if by_hand is not None:
        schema = read_schema(by_hand)
        if schema["function"]["name"] != name:
            raise ValueError(f"Tool {name!r}: its entry in `tool_schemas` names {schema['function']['name']!r}.")
        _check_signature(tool, schema)
        return schema
    try:
        derived: FunctionSchema = get_json_schema(tool)
    except Exception as error:  # transformers has several, for hints and for docstrings
        remedy = (
            "wrap it: ExecutedTool(function, schema)" if owner is None else "give the class a `tool_schemas` entry"
        )
        raise ValueError(
            f"Tool {name!r} lacks a schema: {error} Add type hints and a Google-style docstring with an Args section, "
            f"or {remedy}."
        ) from None
    return derived


class ToolPool:
    """The tools that rows of one kind can use: those of the trainer, and the methods of the rows' environment."""

    def __init__(self, tools: Sequence[Callable[..., Any]]) -> None:
        self.schemas: dict[str, FunctionSchema] = {}
        for tool in tools:
            schema = tool_schema(tool)
            name = schema["function"]["name"]
            if name in self.schemas:
                raise ValueError(
                    f"Two tools are called {name!r}. Rename one, or wrap it: ExecutedTool(function, schema)."
                )
            self.schemas[name] = schema

    def unknown(self, row_tools: Iterable[Mapping[str, Any]]) -> list[str]:
        """Names that a row offers and the pool does not contain."""
        return [name for name in map(_name_of, row_tools) if name not in self.schemas]

    def offered(self, row_tools: Iterable[Mapping[str, Any]] | None) -> list[FunctionSchema]:
        """What a row offers of the pool."""
        if row_tools is None:
            return list(self.schemas.values())
        known = [tool for tool in row_tools if _name_of(tool) in self.schemas]
        bare = {"name"}  # of which the pool has the schema
        return [
            self.schemas[_name_of(tool)] if set(tool.get("function", tool)) == bare else dict(tool) for tool in known
        ]


def _name_of(tool: Mapping[str, Any]) -> str:
    return str(tool.get("function", tool)["name"])
