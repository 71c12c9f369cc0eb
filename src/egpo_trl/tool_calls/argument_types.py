"""Checks arguments against the types that a JSON schema declares, and reads those that a syntax writes as text."""

from collections.abc import Mapping, Sequence
from typing import Any

from .calls import InvalidJSON, ToolCall, load_json
from .matching import Schema, children, expand, types_of

_KINDS = {
    "string": "string", "str": "string", "integer": "integer", "int": "integer", "number": "number", "float": "number",
    "double": "number", "boolean": "boolean", "bool": "boolean", "array": "array", "list": "array", "tuple": "array",
    "object": "object", "dict": "object", "null": "null", "none": "null",
}  # fmt: skip
_WORDS = {"True": True, "False": False, "None": None}


def read_arguments(calls: Sequence[ToolCall], schemas: Mapping[str, Schema]) -> tuple[ToolCall, ...]:
    """Calls whose arguments are text, with the values that the text denotes under the schemas of their functions."""
    return tuple(
        ToolCall(
            call.name, {key: _read(value, key, schemas.get(call.name, {})) for key, value in call.arguments.items()}
        )
        for call in calls
    )


def _read(text: Any, key: str, schema: Schema) -> Any:
    if not isinstance(text, str):
        return text
    kinds = _declared(children([schema], schema, key), schema)
    if kinds == {"string"}:
        return text
    written = text.strip()
    try:
        value = _WORDS[written] if written in _WORDS else load_json(written)
    except InvalidJSON:
        return text
    if kinds is None:
        return text if isinstance(value, str) else value
    return value if _kinds_of(value) & kinds and not isinstance(value, str) else text


def wrong_type(arguments: Mapping[str, Any], schema: Schema) -> str | None:
    """What is wrong with the first argument whose value has none of the types that its schema declares, or `None`."""
    for key, value in arguments.items():
        found = _wrong(value, children([schema], schema, key), schema, key)
        if found is not None:
            return found
    return None


def _wrong(value: Any, schemas: Sequence[Schema], root: Schema, where: str, depth: int = 0) -> str | None:
    kinds = _declared(schemas, root)
    if kinds is not None and not _kinds_of(value) & kinds:
        return f"argument {where!r} must be of type {' or '.join(sorted(kinds))}, got {min(_kinds_of(value))}"
    if depth >= 16 or not isinstance(value, (dict, list)):
        return None
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner = (
        (key, _wrong(item, children(schemas, root, key), root, f"{where}.{key}", depth + 1)) for key, item in items
    )
    return next((found for _, found in inner if found is not None), None)


def _declared(schemas: Sequence[Schema], root: Schema) -> set[str] | None:
    """Types that schemas declare for a value, `None` where they leave it open or use a word of their own."""
    found: set[str] = set()
    for schema in expand(schemas, root):
        names = {name.lower() for name in types_of(schema)}
        if not names <= _KINDS.keys():
            return None
        found |= {_KINDS[name] for name in names} | ({"null"} if schema.get("nullable") and names else set())
        if not names and not schema.keys() & {"anyOf", "oneOf", "allOf", "$ref"}:
            return None  # a branch that takes anything
    return found or None


def _kinds_of(value: Any) -> set[str]:
    if value is None:
        return {"null"}
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer", "number"}
    if isinstance(value, float):
        return {"number"}
    return {"string" if isinstance(value, str) else "array" if isinstance(value, (list, tuple)) else "object"}
