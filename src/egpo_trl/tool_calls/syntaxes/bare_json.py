"""The syntax of Llama 3.1, Llama 4 and xLAM: one bare JSON object `{"name": …, "parameters": {…}}`, or several.

Meta's page "Llama 3.1: prompt format" puts `<|python_tag|>` before calls of built-in tools, `tool.call(query="…")`. The
models write it before JSON too, which may then have a key `"type": "function"`, and `; ` between two calls. Llama 4's
template puts `<|python_start|>` and `<|python_end|>` before a call. xLAM 1 wraps its list: `{"tool_calls": […]}`.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any

from ..calls import MAX_CALLS, Answer, InvalidJSON, State, ToolCall, call_from_object, decode_json
from ..fragments import BESIDE, MALFORMED, calls_beside, has_fragment, read_text
from ..syntax import Syntax, write_json
from .pythonic import read_pythonic

_ARGUMENT_KEYS = ("arguments", "parameters")
_SEPARATOR = re.compile(r"\s*;\s*(?=[\[{])")
_PYTHON_TAG = "<|python_tag|>"
_PYTHON_START, _PYTHON_END = "<|python_start|>", "<|python_end|>"


def read_bare_json(text: str, function_names: Collection[str] = (), allow_text: bool = False) -> Answer:
    """Read an answer in the bare JSON syntax. The arguments stand under `arguments` or `parameters`."""
    text = text.strip()
    if text.startswith(_PYTHON_START):
        text = text.removeprefix(_PYTHON_START).replace(_PYTHON_END, "", 1).strip()
    before, tag, behind = text.partition(_PYTHON_TAG)
    if tag:
        text = behind.strip()
        if before.strip() and not (allow_text and not has_fragment(before, function_names, "json")):
            return BESIDE
        if not text.startswith(("{", "[")):
            return _read_builtin(text)
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    answer = None if start == 0 or tag else read_text(text, function_names, "json")
    if start < 0 or (answer is not None and answer.state is State.TEXT):
        return answer or read_text(text, function_names, "json")
    calls: list[ToolCall] = []
    end: int | None = None
    following: int | None = start
    try:
        while following is not None and len(calls) <= MAX_CALLS:
            value, end = decode_json(text, following)
            if isinstance(value, dict) and value.keys() == {"tool_calls"}:
                value = value["tool_calls"]
            items = value if isinstance(value, list) and value else [value]
            calls += [call_from_object(_without_type(item), _ARGUMENT_KEYS) for item in items]
            following = _after_semicolon(text, end)
    except (InvalidJSON, ValueError):
        return MALFORMED if tag else answer or read_text(text, function_names, "json")
    if len(calls) > MAX_CALLS:
        return MALFORMED
    return calls_beside(calls, text[:start] + "\n" + text[end:], function_names, allow_text, "json")


def _without_type(item: Any) -> Any:
    """A call without the `"type": "function"` that Llama 3.1 copies from the list of functions."""
    is_typed = isinstance(item, dict) and item.get("type") == "function"
    return {key: value for key, value in item.items() if key != "type"} if is_typed else item


def _read_builtin(text: str) -> Answer:
    """A call of a built-in tool, whose function is named `call`."""
    answer = read_pythonic(f"[{text}]")
    names = [call.name.removesuffix(".call") for call in answer.calls]
    if answer.state is not State.CALL or any(a == b.name for a, b in zip(names, answer.calls, strict=True)):
        return MALFORMED
    return Answer(State.CALL, tuple(ToolCall(a, b.arguments) for a, b in zip(names, answer.calls, strict=True)))


def _after_semicolon(text: str, position: int) -> int | None:
    """Where another object starts behind a semicolon, if one does."""
    match = _SEPARATOR.match(text, position)
    return None if match is None else match.end()


def _write(calls: Sequence[ToolCall]) -> str:
    objects = [{"name": call.name, "parameters": call.arguments} for call in calls]
    return write_json(objects if len(objects) > 1 else objects[0])


SYNTAX = Syntax("json", read_bare_json, _write, marks=(_PYTHON_TAG,))
