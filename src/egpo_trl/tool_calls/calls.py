"""Tool calls, function schemas, and the strict JSON that both are read from."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

MAX_CHARACTERS = 100_000  # longer answers are malformed: no real call comes near, and time stays bounded
MAX_CALLS = 128  # an answer with more calls is malformed
MAX_DEPTH = 64  # nested arguments beyond this are malformed


class State(StrEnum):
    """What the answer of a completion is."""

    CALL = "call"  # one or more well-formed calls and nothing else
    TEXT = "text"  # text with no call and no fragment of one
    MALFORMED = "malformed"  # anything else


class ToolCall(NamedTuple):
    """One call: the name of the function and its arguments as JSON values, which are not to be modified."""

    name: str
    arguments: dict[str, Any]


class Answer(NamedTuple):
    """An answer as read: its state, its calls if it is a CALL, and what is wrong if it is MALFORMED."""

    state: State
    calls: tuple[ToolCall, ...] = ()
    reason: str | None = None


class InvalidJSON(ValueError):
    """Text that is not strict JSON within the bounds of this module."""


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise InvalidJSON("duplicate key")
    return keys


def _no_constant(name: str) -> Any:
    raise InvalidJSON(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidJSON(f"{text[:20]} is out of range")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_finite)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


def decode_json(text: str, start: int = 0) -> tuple[Any, int]:
    """Read one strict JSON value: no duplicate keys, no NaN or Infinity, no lone surrogates, bounded depth."""
    if len(text) - start > MAX_CHARACTERS:
        raise InvalidJSON(f"longer than {MAX_CHARACTERS} characters")
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        raise InvalidJSON("nested too deeply") from None
    except InvalidJSON:
        raise
    except ValueError as error:
        raise InvalidJSON(str(error)) from None
    surrogates = not (text.isascii() and "\\u" not in text) and _SURROGATE.search(text, start, end) is not None
    if surrogates or text.count("{", start, end) + text.count("[", start, end) > MAX_DEPTH:
        check_value(value)
    return value, end


def check_value(value: Any, depth: int = 0) -> None:
    """Raise [`InvalidJSON`] where a value is nested too deeply or holds a lone surrogate or an infinite number."""
    if depth > MAX_DEPTH:
        raise InvalidJSON("nested too deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            check_value(key, depth + 1)
            check_value(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            check_value(item, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidJSON("a number that is not finite")
    elif isinstance(value, str) and not value.isascii() and re.search(r"[\ud800-\udfff]", value):
        raise InvalidJSON("lone surrogate")


def load_json(text: str) -> Any:
    """One strict JSON value and nothing but white space around it; raises [`InvalidJSON`]."""
    stripped = text.strip()
    value, end = decode_json(stripped)
    if end != len(stripped):
        raise InvalidJSON("text after the value")
    return value


def call_from_object(value: Any, argument_keys: Sequence[str] = ("arguments",)) -> ToolCall:
    """A call from its JSON object `{"name": …, "arguments": {…}}`."""
    if not isinstance(value, dict):
        raise ValueError("a call must be an object")
    for key in argument_keys:
        if len(value) == 2 and key in value and "name" in value:
            name, arguments = value["name"], value[key]
            if not isinstance(name, str) or not name:
                raise ValueError("'name' must be a non-empty string")
            if not isinstance(arguments, dict):
                raise ValueError(f"{key!r} must be an object")
            return ToolCall(name, arguments)
    raise ValueError("a call must have the keys 'name' and 'arguments' and no other")


def parse_reference(reference: str | list[Any]) -> tuple[ToolCall, ...]:
    """Reference calls of a row."""
    value = load_json(reference) if isinstance(reference, str) else reference
    if not isinstance(value, list):
        raise ValueError("must be a list of calls; an empty list means that text is right")
    calls = []
    for position, item in enumerate(value):
        try:
            calls.append(call_from_object(item))
        except ValueError as error:
            raise ValueError(f"call {position}: {error}") from None
    return tuple(calls)


def parse_tools(tools: str | list[Any] | None) -> dict[str, Mapping[str, Any]]:
    """Parameter schemas of the functions that a row offers, by name."""
    value = load_json(tools) if isinstance(tools, str) else tools
    if value is None:
        return {}
    if not isinstance(value, list):
        raise ValueError("must be a list of function schemas")
    schemas: dict[str, Mapping[str, Any]] = {}
    for position, item in enumerate(value):
        function = item.get("function", item) if isinstance(item, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise ValueError(f"function {position} lacks a 'name'")
        parameters = function.get("parameters")
        parameters = {} if parameters is None else parameters
        if not isinstance(parameters, dict):
            raise ValueError(f"function {function['name']!r}: 'parameters' must be a JSON schema")
        if function["name"] in schemas:
            raise ValueError(f"function {function['name']!r} is listed twice")
        schemas[function["name"]] = parameters
    return schemas


@lru_cache(maxsize=256)
def _load_tools(text: str) -> list[dict[str, Any]] | None:
    tools: list[dict[str, Any]] | None = load_json(text)
    parse_tools(tools)
    return tools or None


def parse_row_tools(tools: Any) -> list[dict[str, Any]] | None:
    """Function schemas of a row, as a chat template takes them."""
    if tools is None:
        return None
    if not isinstance(tools, str):
        raise ValueError(f"must be a JSON string, got {type(tools).__name__}; store json.dumps(tools)")
    return _load_tools(tools)
