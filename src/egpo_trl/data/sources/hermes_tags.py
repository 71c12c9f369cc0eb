"""The `<tool_response>` tags of the Hermes function-calling format."""

from collections.abc import Collection
from typing import Any

from ...tool_calls.calls import InvalidJSON, load_json
from ...tool_calls.syntaxes.pythonic import read_literal

_OPEN, _CLOSE = "<tool_response>", "</tool_response>"


def read_results(value: Any, names: Collection[str]) -> list[tuple[Any, str | None]]:
    """
    Results in a tool message, one for each pair of tags, or the message as it is.

    Args:
        value (`Any`):
            The message.
        names (`Collection[str]`):
            Names of the functions of the record.

    Returns:
        `list[tuple[Any, str | None]]`:
            Each result, and the function that it names as `{"name", "content"}` does.
    """
    if not isinstance(value, str):
        return [(value, _name(value, names))]
    _, *parts = value.split(_OPEN)
    found = [part.split(_CLOSE, 1)[0].strip() for part in parts if _CLOSE in part]
    return [(text, _name(text, names)) for text in found or [value]]


def _name(result: Any, names: Collection[str]) -> str | None:
    if isinstance(result, str) and result.lstrip().startswith("{"):
        try:
            result = load_json(result)
        except InvalidJSON:
            try:
                result = read_literal(result.strip())
            except ValueError:
                return None
    name = result.get("name") if isinstance(result, dict) else None
    return name if isinstance(name, str) and name in names else None
