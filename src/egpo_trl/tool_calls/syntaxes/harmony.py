"""The syntax of gpt-oss, by OpenAI's "Harmony response format": an answer is a row of messages, each with a header.

The recipient may stand before the channel or after it, and the type of the content may be constrained or not.
"""

import re
from collections.abc import Collection, Sequence

from ..calls import MAX_CALLS, MAX_CHARACTERS, Answer, InvalidJSON, State, ToolCall, decode_json
from ..fragments import BESIDE, MALFORMED, calls_beside, read_text
from ..syntax import Syntax, write_json

_HEADER = re.compile(  # every optional part starts with its blanks, so that time is linear in them
    r"(?:<\|start\|>assistant)?(?:\s?to=(?P<first>[^\s<]{1,256}))?\s*<\|channel\|>(?P<channel>analysis|commentary|final)"
    r"(?:\s+to=(?P<second>[^\s<]{1,256}))?(?:\s*<\|constrain\|>)?(?:\s*json)?\s*<\|message\|>"
)
_END = re.compile(r"<\|(?:end|return|call)\|>\s*")
_CALLED = re.compile(r"\s*(?:<\|call\|>\s*|$)")
_PREFIX = "functions."


def read_harmony(text: str, function_names: Collection[str] = (), allow_text: bool = False) -> Answer:
    """Reads the messages after the first one of the analysis: calls of functions, preambles, and a final text."""
    if len(text) > MAX_CHARACTERS:
        return MALFORMED
    text = text.strip()
    calls: list[ToolCall] = []
    texts: list[str] = []
    position = 0
    if not text:
        return read_text(text, function_names)
    while position < len(text):
        header = _HEADER.match(text, position)
        if header is None or len(calls) + len(texts) > MAX_CALLS:
            return BESIDE if calls else MALFORMED
        recipient = header["second"] or header["first"]
        position = header.end()
        if recipient is None:
            end = _END.search(text, position)
            if header["channel"] == "analysis":
                return Answer(State.MALFORMED, reason="several_think_blocks" if end else "unclosed_think_block")
            texts.append(text[position : end.start() if end else len(text)])
            position = end.end() if end else len(text)
            continue
        try:
            if (
                not recipient.startswith(_PREFIX)
                or (header["first"] and header["second"])
                or header["channel"] == "final"
            ):
                return MALFORMED
            value, position = decode_json(text, position)
        except InvalidJSON:
            return MALFORMED
        if not isinstance(value, dict) or len(recipient) == len(_PREFIX):
            return MALFORMED
        calls.append(ToolCall(recipient.removeprefix(_PREFIX), value))
        end = _CALLED.match(text, position)
        if end is None:
            return MALFORMED
        position = end.end()
    beside = "\n".join(texts)
    if not calls:
        return read_text(beside, function_names)
    return calls_beside(calls, beside, function_names, allow_text)


def _write(calls: Sequence[ToolCall]) -> str:
    return "<|start|>assistant".join(
        f"<|channel|>commentary to={_PREFIX}{call.name} <|constrain|>json<|message|>{write_json(call.arguments)}<|call|>"
        for call in calls
    )


SYNTAX = Syntax(
    "harmony",
    read_harmony,
    _write,
    marks=("<|channel|>",),
    think_tags=("<|channel|>analysis<|message|>", "<|end|>"),
    checks_think_tags=True,
    write_text=lambda text: f"<|channel|>final<|message|>{text}",
)
