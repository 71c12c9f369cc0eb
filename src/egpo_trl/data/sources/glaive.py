"""Glaive function calling, raw: `system` with the functions, `chat` with `USER:`, `ASSISTANT:`, `FUNCTION RESPONSE:`."""

import re
from collections.abc import Mapping
from typing import Any

from ..function_text import read_functions
from ..records import Unconvertible
from .conversation import Row
from .messages import convert_messages

FIELDS = ("chat", "system", "sample")
_TURN = re.compile(r"(?:\A|\n)[ \t]*(SYSTEM|USER|ASSISTANT|FUNCTION RESPONSE):|\n\n\n?[ \t]*(A):")
_ROLES = {"SYSTEM": "system", "USER": "user", "ASSISTANT": "assistant", "A": "assistant", "FUNCTION RESPONSE": "tool"}


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    field = "sample" if record.get("chat") is None else "chat"
    text = record.get(field)
    return f"its `{field}` has `USER:` turns" if isinstance(text, str) and "USER:" in text else None


def convert_record(record: Mapping[str, Any], keep_system: bool = False) -> list[Row]:
    """Rows of a record, of version 2 (`system`, `chat`) or version 1 (`sample`); see [`~egpo_trl.data.sources.convert`]."""
    field = "sample" if record.get("chat") is None else "chat"
    text = record.get(field)
    if not isinstance(text, str) or not text.strip():
        raise Unconvertible(field, "must be the text of the conversation")
    messages = _turns(text, field)
    system = record.get("system")
    if isinstance(system, str) and system.strip():
        messages.insert(0, {"role": "system", "content": system.strip().removeprefix("SYSTEM:").strip()})
    about = next((message["content"] for message in messages if message["role"] == "system"), "")
    _, brace, functions = about.partition("{")
    try:
        tools = read_functions(brace + functions) if brace else []
    except ValueError as error:
        raise Unconvertible("system", f"the functions cannot be read: {error}") from None
    return convert_messages({field: messages, "tools": tools}, field, keep_system)


def _turns(text: str, field: str) -> list[dict[str, str]]:
    parts = _TURN.split(text)
    if parts[0].strip():
        raise Unconvertible(field, "must begin with a turn such as 'USER:'")
    turns = []
    for first, second, said in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        said = said.strip().removesuffix("<|endoftext|>").strip()
        turns.append({"role": _ROLES[first or second], "content": said})
    return turns
