"""Reads the results that a tool message holds: one, several in `<tool_response>` tags, or a list of them."""

from collections.abc import Collection
from typing import Any

from ..function_text import decoded

_OPEN, _CLOSE = "<tool_response>", "</tool_response>"


def read_results(value: Any, names: Collection[str]) -> list[tuple[Any, str | None]]:
    """Results in a tool message, each with the function of the record that it names as `{"name", "content"}` does."""
    if isinstance(value, str) and _OPEN in value:
        _, *parts = value.split(_OPEN)
        found = [part.split(_CLOSE, 1)[0].strip() for part in parts if _CLOSE in part]
        return [(text, _name(text, names)) for text in found or [value]]
    listed = decoded(value)
    if isinstance(listed, list) and listed and all(isinstance(item, dict) and "results" in item for item in listed):
        return [(item["results"], _name(item, names)) for item in listed]  # as BUTTON and ToolACE write it
    return [(value, _name(value, names))]


def _name(result: Any, names: Collection[str]) -> str | None:
    result = decoded(result)
    name = result.get("name") if isinstance(result, dict) else None
    return name if isinstance(name, str) and name in names else None
