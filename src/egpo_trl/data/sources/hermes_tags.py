"""The tags of the Hermes function-calling format: `<tool_call>` around calls, `<tool_response>` around results."""

import re
from typing import Any

from ...tool_calls.calls import MAX_CALLS, InvalidJSON, State, ToolCall, call_from_object, load_json
from ...tool_calls.hermes import read_hermes
from ...tool_calls.pythonic import read_literal
from .records import Unconvertible

_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_RESULT = re.compile(r"<tool_response>(.*?)</tool_response>", re.DOTALL)


def read_calls(text: str, position: int) -> tuple[tuple[ToolCall, ...], str]:
    """
    Calls of an assistant message, as JSON or as the Python literals that parts of the data set hold.

    Args:
        text (`str`):
            Content of the message.
        position (`int`):
            Place of the message, for errors.

    Returns:
        `tuple`:
            The calls, and the text beside them.

    Raises:
        Unconvertible: If a call cannot be read.
    """
    beside = _CALL.sub("", text).strip()
    answer = read_hermes(text)
    if answer.state is State.CALL:
        return answer.calls, ""
    blocks = _CALL.findall(text)
    try:
        if not 0 < len(blocks) <= MAX_CALLS or "tool_call>" in beside:
            raise ValueError("a tag is missing")
        return tuple(call_from_object(_value(block)) for block in blocks), beside
    except ValueError as error:
        raise Unconvertible("conversations", f"message {position} holds a call that cannot be read: {error}") from None


def _value(text: str) -> Any:
    try:
        return load_json(text)
    except InvalidJSON as error:
        try:
            return read_literal(text.strip())
        except ValueError:
            raise error from None


def read_results(value: Any) -> list[Any]:
    """Results in a tool message, one for each pair of tags, or the message as it is."""
    found = _RESULT.findall(value) if isinstance(value, str) else []
    return [text.strip() for text in found] or [value]
