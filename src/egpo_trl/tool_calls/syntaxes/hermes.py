"""The syntax of Hermes, Qwen2.5 and Qwen3: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, repeated."""

import re
from collections.abc import Collection

from ..calls import MAX_CALLS, Answer, InvalidJSON, ToolCall, call_from_object, decode_json
from ..fragments import MALFORMED, calls_beside, read_text
from ..syntax import Form, Syntax, framed

_OPEN = "<tool_call>"
_OPENING = re.compile(r"<tool_call>\s*")
_CLOSE = re.compile(r"\s*</tool_call>\s*")


def read_hermes(text: str, function_names: Collection[str] = (), allow_text: bool = False) -> Answer:
    """Read an answer in the Hermes syntax. White space is allowed around the tags and the JSON, nothing else is."""
    text = text.strip()
    if _OPEN not in text:
        return read_text(text, function_names, "hermes")
    calls: list[ToolCall] = []
    beside: list[str] = []
    position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        if opening.start() > position:
            beside.append(text[position : opening.start()])
        try:
            value, position = decode_json(text, opening.end())
            calls.append(call_from_object(value))
        except (InvalidJSON, ValueError):
            return MALFORMED
        closing = _CLOSE.match(text, position)
        if closing is None or len(calls) > MAX_CALLS:
            return MALFORMED
        position = closing.end()
    beside.append(text[position:])
    return calls_beside(calls, "\n".join(beside), function_names, allow_text)


_WRITE = framed(Form("<tool_call>\n{call}\n</tool_call>", between="\n"))[1]
SYNTAX = Syntax("hermes", read_hermes, _WRITE, marks=("<tool_call>",))
