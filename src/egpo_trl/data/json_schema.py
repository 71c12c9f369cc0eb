"""Maps function schemas in every spelling that data sets use to JSON Schema in the form of the chat-completions API."""

import ast
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from ..tool_calls.calls import MAX_DEPTH, load_json

_MAX_SPELLING = 500  # characters of a type's spelling; a longer one describes nothing that can be checked
_TYPES: dict[str, str] = {
    **dict.fromkeys("string str char character text date datetime time bytes".split(), "string"),
    **dict.fromkeys("integer int long short byte bigint int32 int64".split(), "integer"),
    **dict.fromkeys("number float double decimal float32 float64 numeric".split(), "number"),
    **dict.fromkeys("boolean bool".split(), "boolean"),
    **dict.fromkeys("array list tuple set frozenset sequence iterable arraylist queue stack".split(), "array"),
    **dict.fromkeys("object dict dictionary map mapping hashmap hashtable json".split(), "object"),
    **dict.fromkeys("null none nonetype".split(), "null"),
}
_UNIONS = ("union", "anyof", "oneof")
_NOTE = re.compile(
    r"\s*(?:,\s*(optional|required|default\b.*)|\((optional|required)\))\s*$", re.IGNORECASE | re.DOTALL
)
_LEAF_KEYS = {"type", "description", "enum", "default"}
_SUBSCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")


def parse_type(spelling: str) -> tuple[dict[str, Any], bool]:
    """JSON Schema of a type's spelling."""
    simple = _TYPES.get(spelling)
    if simple is not None:
        return {"type": simple}, False
    schema, optional = _parse_type(spelling[: _MAX_SPELLING + 1])
    return _copy(schema), optional


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


@lru_cache(maxsize=1024)
def _parse_type(spelling: str) -> tuple[dict[str, Any], bool]:
    if len(spelling) > _MAX_SPELLING:
        return {}, False
    text, optional = spelling.strip(), False
    while (note := _NOTE.search(text)) is not None:
        optional = optional or (note[1] or note[2]).lower() != "required"
        text = text[: note.start()]
    return _annotation(text), optional or re.match(r"(?:typing\.)?Optional\s*\[", text) is not None


def _annotation(text: str) -> dict[str, Any]:
    """Schema of an annotation without notes, read by Python's own parser."""
    text = re.sub(r"^(?:list|array) of (\w+?)s?$", r"list[\1]", text.strip(), flags=re.IGNORECASE)
    text = text.replace("<", "[").replace(">", "]").replace("[]", "[()]")  # generics of Java; `string[]` of TypeScript
    try:
        return _schema_of(ast.parse(text, mode="eval").body, 0)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return {}


def _schema_of(node: ast.expr, depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        return {}
    match node:
        case ast.Constant(value=None):
            return {"type": "null"}
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return {"type": _TYPES[name.lower()]} if name.lower() in _TYPES else {}
        case ast.BinOp(op=ast.BitOr() | ast.Div()) | ast.BoolOp(op=ast.Or()):
            return _union([_schema_of(part, depth + 1) for part in _alternatives(node)])
        case ast.Subscript(value=kind, slice=ast.Tuple(elts=[])):
            item = _schema_of(kind, depth + 1)
            return {"type": "array", **({"items": item} if item else {})}
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name)):
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return _generic(name.lower(), parts, depth)
    return {}


def _alternatives(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BinOp(op=ast.BitOr() | ast.Div()):
            return [*_alternatives(node.left), *_alternatives(node.right)]
        case ast.BoolOp(op=ast.Or()):
            return [part for value in node.values for part in _alternatives(value)]
    return [node]


def _generic(name: str, parts: list[ast.expr], depth: int) -> dict[str, Any]:
    if name == "literal":
        values = [_literal(part) for part in parts]
        return {"enum": values, **({"type": "string"} if all(isinstance(value, str) for value in values) else {})}
    kinds = [
        _schema_of(part, depth + 1) for part in parts if not (isinstance(part, ast.Constant) and part.value is ...)
    ]
    if name in ("optional", *_UNIONS):
        return _union([*kinds, {"type": "null"}] if name == "optional" else kinds)
    if name == "annotated":
        return kinds[0]
    kind = _TYPES.get(name)
    schema: dict[str, Any] = {"type": kind} if kind else {}
    if kind == "array" and kinds and kinds[0] and all(item == kinds[0] for item in kinds):
        schema["items"] = kinds[0]
    elif kind == "object" and len(kinds) == 2 and kinds[1]:
        schema["additionalProperties"] = kinds[1]
    return schema


def _literal(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
    return value if isinstance(value, str | int | None) else ast.unparse(node)


def _union(kinds: list[dict[str, Any]]) -> dict[str, Any]:
    """Simple types become a list of types, others `anyOf`; a union with a type that nothing is known of is anything."""
    branches = [kind for place, kind in enumerate(kinds) if kind not in kinds[:place]]
    if len(branches) < 2 or {} in branches:
        return {} if {} in branches or not branches else branches[0]
    if all(branch.keys() == {"type"} and isinstance(branch["type"], str) for branch in branches):
        return {"type": [branch["type"] for branch in branches]}
    return {"anyOf": branches}


def to_json_schema(schema: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """A schema in JSON Schema's spelling: a boolean `required` moves to its object, the `enum` of an array to its items."""
    if depth > MAX_DEPTH:
        raise ValueError("a schema is nested too deeply")
    if schema.keys() <= _LEAF_KEYS and None not in schema.values() and isinstance(schema.get("type"), str):
        simple = _TYPES.get(schema["type"])
        if simple not in (None, "array"):  # as in most places of most schemas
            return {**schema, "type": simple}
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if value is None and key != "default":
            continue
        if key == "type":
            result |= _type_keyword(value)
        elif key == "properties":
            _properties(value, schema.get("required"), result, depth)
        elif key == "items":
            result[key] = _items(value, depth)
        elif key in _SUBSCHEMAS and isinstance(value, list):
            result[key] = [_subschema(item, depth) for item in value]
        elif key == "additionalProperties" and isinstance(value, dict):
            result[key] = to_json_schema(value, depth + 1)
        elif key != "required":
            result[key] = value
    required = schema.get("required")
    if isinstance(required, list) and "required" not in result:
        result["required"] = [name for name in required if isinstance(name, str)]
    _move_enum(result)
    return result


def _type_keyword(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        simple = _TYPES.get(value)
        return {"type": simple} if simple is not None else parse_type(value)[0]
    if isinstance(value, list):
        names = [item for item in value if isinstance(item, str)]
        return _union([_annotation(name) for name in names])
    return {}


def _subschema(value: Any, depth: int) -> dict[str, Any]:
    if isinstance(value, str):
        return parse_type(value)[0]
    if not isinstance(value, dict):
        raise ValueError(f"a schema must be an object, got {type(value).__name__}")
    return to_json_schema(value, depth + 1)


def _items(value: Any, depth: int) -> Any:
    if isinstance(value, list):  # a tuple in drafts before 2020-12
        return _subschema(value[0], depth) if len(value) == 1 else {}
    return value if isinstance(value, bool) else _subschema(value, depth)


def _properties(value: Any, required: Any, result: dict[str, Any], depth: int) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"'properties' must be an object, got {type(value).__name__}")
    result.setdefault("type", "object")
    properties = result["properties"] = {}
    names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    for name, item in value.items():
        if item is None:
            continue
        properties[name] = _subschema(item, depth)
        if isinstance(item, dict) and item.get("required") is True and name not in names:
            names.append(name)
    if names or isinstance(required, list):
        result["required"] = names


def _move_enum(schema: dict[str, Any]) -> None:
    values = schema.get("enum")
    if schema.get("type") != "array" or not isinstance(values, list):
        return
    if values and not any(isinstance(value, list) for value in values):
        items = schema.get("items")
        if items is None or (isinstance(items, dict) and "enum" not in items):
            schema["items"] = {**(items or {}), "enum": values}
        del schema["enum"]


_NAME_KEYS = ("name", "api_name", "apiCode")
_DESCRIPTION_KEYS = ("description", "api_description")
_PARAMETER_KEYS = ("parameters", "inputSchema", "input_schema", "arguments", "input_parameters")


def to_function_schema(function: Any) -> dict[str, Any]:
    """A function schema in the form of the chat-completions API."""
    wrapped = function.get("function") if isinstance(function, dict) else None
    function = function if wrapped is None else wrapped
    name = _first(function, _NAME_KEYS) if isinstance(function, dict) else None
    if not isinstance(name, str) or not name:
        raise ValueError("a function lacks a 'name'")
    parameters = _first(function, _PARAMETER_KEYS)
    try:
        parameters = load_json(parameters or "{}") if isinstance(parameters, str) else parameters
        schema = _parameters({} if parameters is None else parameters)
    except ValueError as error:
        raise ValueError(f"function {name!r}: {error}") from None
    required = function.get("required")
    stated = isinstance(parameters, dict) and isinstance(parameters.get("required"), list)
    if isinstance(required, list) and not stated:  # it says more than types and defaults do
        schema["required"] = [item for item in required if isinstance(item, str)]
    description = _first(function, _DESCRIPTION_KEYS)
    described = {"description": description} if isinstance(description, str) else {}
    return {"type": "function", "function": {"name": name, **described, "parameters": schema}}


def _first(function: Mapping[str, Any], keys: Iterable[str]) -> Any:
    for key in keys:
        value = function.get(key)
        if value is not None:
            return value
    return None


def _parameters(parameters: Any) -> dict[str, Any]:
    if not isinstance(parameters, dict):
        raise ValueError(f"'parameters' must be an object, got {type(parameters).__name__}")
    properties = parameters.get("properties")
    kind = parameters.get("type")
    is_object = isinstance(kind, str) and _TYPES.get(kind) == "object"
    if is_object or (isinstance(properties, dict) and not _is_leaf(properties)):
        return {"properties": {}, **to_json_schema(parameters)} | {"type": "object"}
    # Keywords, not parameters that are called `$filter` or `anyOf`: those have schemas.
    if any(_is_keyword(key, value) for key, value in parameters.items()):
        return to_json_schema(parameters)
    return _from_annotations(parameters)


def _is_leaf(schema: Mapping[str, Any]) -> bool:
    """Whether what stands under `properties` is the schema of a parameter of that name, not a list of parameters."""
    return isinstance(schema.get("type"), str) and isinstance(schema.get("description"), str)


def _is_keyword(key: str, value: Any) -> bool:
    return (
        (key in ("$ref", "$schema", "$id") and isinstance(value, str))
        or (key == "$defs" and isinstance(value, dict) and not _is_leaf(value))
        or (key in _SUBSCHEMAS and isinstance(value, list))
    )


def _from_annotations(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping of parameter names to schemas; one is required unless its type says `optional` or it has a default."""
    schemas: dict[str, Any] = {}
    required = []
    for name, value in parameters.items():
        if value is None:
            continue
        value = {"type": value} if isinstance(value, str) else value
        schemas[name] = _subschema(value, 0)
        kind = value.get("type")
        optional = value.get("required") is False or "default" in value
        if not optional and not (isinstance(kind, str) and parse_type(kind)[1]):
            required.append(name)
    return {"type": "object", "properties": schemas, "required": required}


def to_tools(functions: Any) -> list[dict[str, Any]]:
    """The functions of a record as the canonical row holds them."""
    if isinstance(functions, dict):
        functions = _listed(functions)
    if not isinstance(functions, list):
        raise ValueError(f"must be a list of function schemas, got {type(functions).__name__}")
    tools: dict[str, dict[str, Any]] = {}
    for function in functions:
        if isinstance(function, dict) and _is_hosted(function):
            continue
        tool = to_function_schema(function)
        name = tool["function"]["name"]
        if tools.setdefault(name, tool) != tool:
            raise ValueError(f"function {name!r} has two different schemas")
    return list(tools.values())


def _listed(functions: dict[str, Any]) -> list[Any]:
    """The functions of an object that is not a list of them."""
    for key in ("tools", "functions"):
        if isinstance(functions.get(key), list):
            return list(functions[key])
    if isinstance(functions.get("result"), dict):  # the whole answer of an MCP server
        return _listed(functions["result"])
    known = {*_NAME_KEYS, "function"} & functions.keys()
    if functions and not known and all(isinstance(value, dict) for value in functions.values()):
        return [{"name": name, **value} for name, value in functions.items()]
    return [functions] if functions else []


def _is_hosted(tool: Mapping[str, Any]) -> bool:
    """Whether a tool runs at the provider, such as a web search: it has a type of its own and no parameters."""
    described = "function" in tool or any(key in tool for key in _PARAMETER_KEYS)
    return tool.get("type") not in (None, "function") and not described
