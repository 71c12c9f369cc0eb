"""The syntax of Hermes, Qwen2.5 and Qwen3: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, repeated."""

from collections.abc import Collection

from .calls import Answer, InvalidJSON, State, ToolCall, call_from_object, decode_json
from .fragments import has_fragment, read_text

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"


def read_hermes(text: str, function_names: Collection[str] = (), allow_text: bool = False) -> Answer:
    """
    Read an answer in the Hermes syntax. White space is allowed around the tags and the JSON, nothing else is.

    Args:
        text (`str`):
            The answer: what follows the chain of thought.
        function_names (`Collection[str]`, *optional*):
            Names of the functions that the row offers, to tell text from fragments of a call.
        allow_text (`bool`, *optional*, defaults to `False`):
            Whether text may stand before, between and behind the calls.

    Returns:
        [`Answer`]:
            CALL, TEXT or MALFORMED.
    """
    text = text.strip()
    if _OPEN not in text:
        return read_text(text, function_names)
    calls: list[ToolCall] = []
    beside: list[str] = []
    position = 0
    while (start := text.find(_OPEN, position)) >= 0:
        if start > position:
            beside.append(text[position:start])
        try:
            value, position = decode_json(text, _skip_space(text, start + len(_OPEN)))
            calls.append(call_from_object(value))
        except (InvalidJSON, ValueError):
            return Answer(State.MALFORMED, reason="malformed_call")
        position = _skip_space(text, position)
        if not text.startswith(_CLOSE, position):
            return Answer(State.MALFORMED, reason="malformed_call")
        position = _skip_space(text, position + len(_CLOSE))
    beside.append(text[position:])
    if any(beside) and not (allow_text and not has_fragment("\n".join(beside), function_names)):
        return Answer(State.MALFORMED, reason="text_beside_calls")
    return Answer(State.CALL, tuple(calls))


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position
