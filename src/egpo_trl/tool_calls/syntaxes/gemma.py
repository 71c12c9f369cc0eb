"""The syntax of Gemma 4 and FunctionGemma (Google, "Function calling with Gemma"): JSON with bare keys and own quotes."""

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from ..calls import MAX_CALLS, MAX_CHARACTERS, Answer, InvalidJSON, ToolCall, load_json
from ..fragments import MALFORMED, calls_beside, read_text
from ..syntax import Syntax

_CALL = re.compile(  # either family of tokens: opening, body and closing, with no other one inside
    r"<\|tool_call>call:(?P<name>[^\s<>{}]{1,256})(?P<body>\{(?:(?!<\|?tool_call).)*)<tool_call\|>\s*"
    r"|<start_function_call>call:(?P<old_name>[^\s<>{}]{1,256})(?P<old_body>\{(?:(?!<(?:start|end)_function_call).)*)"
    r"<end_function_call>\s*",
    re.DOTALL,
)
_MARKS = ("<|tool_call>", "<start_function_call>")
_OTHERS = (*_MARKS, "<tool_call|>", "<end_function_call>", "<|tool_response>", "<tool_response|>", '<|"|>')
_STARTS_RESULT = "<|tool_response>"  # how the template ends a turn with calls
_QUOTED = re.compile(r'<\|"\|>(.*?)<\|"\|>|<escape>(.*?)<escape>', re.DOTALL)
_KEY = re.compile(r"(?<=[{,])\s*([^\W\d][\w.-]*)\s*:")


def read_gemma(text: str, function_names: Collection[str] = (), allow_text: bool = False) -> Answer:
    """Reads `<|tool_call>call:name{key:<|"|>text<|"|>,number:1}<tool_call|>`, repeated."""
    text = text.strip().removesuffix(_STARTS_RESULT)
    if len(text) > MAX_CHARACTERS:
        return MALFORMED
    if not any(mark in text for mark in _OTHERS):
        return read_text(text, function_names)
    calls: list[ToolCall] = []
    beside: list[str] = []
    position = 0
    for match in _CALL.finditer(text):
        beside.append(text[position : match.start()])
        position = match.end()
        try:
            arguments = _read_object(match["body"] or match["old_body"])
        except InvalidJSON:
            return MALFORMED
        calls.append(ToolCall(match["name"] or match["old_name"], arguments))
        if len(calls) > MAX_CALLS:
            return MALFORMED
    plain = "\n".join([*beside, text[position:]])
    if not calls or any(mark in plain for mark in _OTHERS):
        return MALFORMED
    return calls_beside(calls, plain, function_names, allow_text)


def _read_object(body: str) -> dict[str, Any]:
    """Arguments in Gemma's dialect, turned into JSON; what stands between its quotes is never touched."""
    pieces: list[str] = []
    position = 0
    for match in _QUOTED.finditer(body):
        pieces += [body[position : match.start()], json.dumps(match[1] if match[1] is not None else match[2])]
        position = match.end()
    pieces.append(body[position:])
    if any('"' in bare or "\\" in bare for bare in pieces[::2]):
        raise InvalidJSON("quotes of another dialect")
    # keys are bare in what is outside the quotes; a key may follow a quoted value, so the comma is at the start
    value = load_json("".join(piece if at % 2 else _KEY.sub(r'"\1":', piece) for at, piece in enumerate(pieces)))
    if not isinstance(value, dict):
        raise InvalidJSON("arguments must be an object")
    return value


def _write(calls: Sequence[ToolCall]) -> str:
    return "".join(f"<|tool_call>call:{call.name}{_written(call.arguments)}<tool_call|>" for call in calls)


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return f'<|"|>{value}<|"|>' if isinstance(value, str) else json.dumps(value)


SYNTAX = Syntax("gemma", read_gemma, _write, marks=_MARKS)
