"""Reads the results that a tool message holds: one, several in `<tool_response>` tags, or a list of them."""

from collections.abc import Collection
from typing import Any

from ...tool_calls.calls import InvalidJSON
from ..function_text import load_value

_OPEN, _CLOSE = "<tool_response>", "</tool_response>"


def read_results(value: Any, names: Collection[str]) -> list[tuple[Any, str | None]]:
    """Results in a tool message, each with the function of the record that it names as `{"name", "content"}` does."""
    if isinstance(value, str) and _OPEN in value:
        _, *parts = value.split(_OPEN)
        found = [part.split(_CLOSE, 1)[0].strip() for part in parts if _CLOSE in part]
        return [(text, _name(text, names)) for text in found or [value]]
    listed = _listed(value)
    if listed is not None:
        return [(item["results"], _name(item, names)) for item in listed]
    return [(value, _name(value, names))]


def _listed(value: Any) -> list[dict[str, Any]] | None:
    """A list of `{"name", "results"}`, one for each call, as BUTTON and ToolACE write it."""
    if isinstance(value, str):
        if not value.lstrip().startswith("[") or "results" not in value:
            return None
        try:
            value = load_value(value)
        except InvalidJSON:
            return None
    is_list = isinstance(value, list) and value and all(isinstance(item, dict) and "results" in item for item in value)
    return value if is_list else None


def _name(result: Any, names: Collection[str]) -> str | None:
    if isinstance(result, str) and result.lstrip().startswith("{"):
        try:
            result = load_value(result)
        except InvalidJSON:
            return None
    name = result.get("name") if isinstance(result, dict) else None
    return name if isinstance(name, str) and name in names else None
