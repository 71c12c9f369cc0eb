"""TRL's own data sets: `prompt` with `completion` (or `chosen`), and `tools`."""

import re
from collections.abc import Mapping
from typing import Any

from ..records import Unconvertible
from .conversation import Conversation, Row, json_field, tools_of
from .messages import add_messages, check_label

FIELDS = ("prompt", "completion", "chosen", "tools", "label")
_RENDERED = re.compile(r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|\[INST\]|<\|user\|>")


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    answer = next((field for field in ("completion", "chosen") if record.get(field) is not None), None)
    asked = _asked(record)
    if answer is None or (answer == "completion" and asked != "prompt"):
        return None
    return f"it has `{asked}` and `{answer}`" if asked else f"it has `{answer}`"


def _asked(record: Mapping[str, Any]) -> str | None:
    """The field with what comes before the answer: `prompt`, or as LLaMA-Factory has it."""
    return next((field for field in ("prompt", "conversations", "messages") if record.get(field) is not None), None)


def convert_record(record: Mapping[str, Any], keep_system: bool | None = None) -> list[Row]:
    """
    Rows of the steps in `completion` or `chosen`; see [`~egpo_trl.data.sources.convert`].

    A completion that `label` calls bad is skipped, `rejected` is not read.
    """
    check_label(record)
    field = "completion" if record.get("completion") is not None else "chosen"
    asked = _asked(record)
    prompt = _messages(record, asked, "user") if asked else []
    answer = _messages(record, field, "assistant")
    if prompt and answer[: len(prompt)] == prompt:
        answer = answer[len(prompt) :]
    conversation = Conversation(tools_of(record) if record.get("tools") else [], asked or field)
    if prompt:
        add_messages(conversation, prompt, keep_system)
    before = len(conversation.messages)
    conversation.field = field
    add_messages(conversation, answer, keep_system)
    rows = [row for row in conversation.rows() if len(row["prompt"]) >= before]
    if not rows:
        raise Unconvertible(field, "must begin with a step of the assistant")
    return rows


def _messages(record: Mapping[str, Any], field: str, role: str) -> list[Any]:
    value = record.get(field)
    if isinstance(value, str) and not value.lstrip().startswith("[{"):
        if _RENDERED.search(value):
            raise Unconvertible(field, "is the text of a chat template; give the messages instead")
        return [{"role": role, "content": value}]
    value = json_field(record, field)
    value = [value] if isinstance(value, Mapping) else value
    if not isinstance(value, list) or not value:
        raise Unconvertible(field, "must be a text or a non-empty list of messages")
    return value
