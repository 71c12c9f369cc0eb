"""Gives the arguments of calls the types that their functions declare, for data sets that write every value as a text."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..tool_calls.calls import ToolCall
from .function_text import load_value

_INTEGER = re.compile(r"[+-]?(?:\d{1,18}|\d{1,3}(?:,\d{3}){1,5})")
_NUMBER = re.compile(r"[+-]?(?:\d{1,18}|\d{1,3}(?:,\d{3}){1,5})?(?:\.\d{1,18})?(?:[eE][+-]?\d{1,2})?")
_BOOLEANS = {"true": True, "false": False}


def cast_calls(calls: Sequence[ToolCall], tools: Sequence[Mapping[str, Any]]) -> list[ToolCall]:
    """Calls whose arguments have the declared types."""
    properties = {tool["function"]["name"]: tool["function"]["parameters"].get("properties", {}) for tool in tools}
    cast = []
    for call in calls:
        declared = properties.get(call.name, {})
        arguments = {}
        for name, value in call.arguments.items():
            schema = declared.get(name)
            kind = schema.get("type") if isinstance(schema, Mapping) else None
            try:
                arguments[name] = _cast(value, kind) if isinstance(kind, str) else value
            except ValueError:
                raise ValueError(
                    f"argument {name!r} of {call.name!r} is {value!r:.60}, not of the declared type {kind}"
                ) from None
        cast.append(ToolCall(call.name, arguments))
    return cast


def _cast(value: Any, kind: str) -> Any:
    """A value as one of a JSON type; raises `ValueError` where that would be a guess."""
    text = value.strip() if isinstance(value, str) else None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "string":
        if text is None and not is_number:
            raise ValueError
        return value if text is not None else str(value)
    if kind == "boolean":
        if text is not None and text.lower() in _BOOLEANS:
            return _BOOLEANS[text.lower()]
        if not isinstance(value, bool):
            raise ValueError
    if kind in ("integer", "number"):
        number = value if is_number else _number(text)
        if kind == "integer" and number != int(number):
            raise ValueError
        return int(number) if kind == "integer" else number
    if kind in ("array", "object") and text is not None:
        value = load_value(text)
    if (kind == "array" and not isinstance(value, list)) or (kind == "object" and not isinstance(value, dict)):
        raise ValueError
    return value


def _number(text: str | None) -> int | float:
    if text and _INTEGER.fullmatch(text):
        return int(text.replace(",", ""))
    if text and any(letter.isdigit() for letter in text) and _NUMBER.fullmatch(text):
        return float(text.replace(",", ""))
    raise ValueError
