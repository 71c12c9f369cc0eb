"""Rows of a user's own: `prompt`, `tools` and `reference`, as values or as JSON strings, and `answer`."""

from collections.abc import Mapping
from typing import Any

from ...tool_calls.calls import parse_reference
from ...tool_calls.fragments import has_fragment
from ..assistant_text import looks_like_call
from ..records import Unconvertible
from .conversation import Conversation, Row, json_field, make_row, tools_of
from .messages import add_messages

FIELDS = ("prompt", "tools", "reference", "answer")
RENAMED = {"messages": "prompt", "answers": "reference"}


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    found = record.get("prompt") is not None and record.get("reference") is not None
    return "it has `prompt` and `reference`" if found else None


def convert_record(record: Mapping[str, Any]) -> list[Row]:
    """
    The row of a record; see [`~egpo_trl.data.sources.convert`].

    A `prompt` that is a string is one user message; functions may be in any spelling that the other sources know.
    """
    conversation = Conversation([] if record.get("tools") is None else tools_of(record), "prompt")
    prompt = record.get("prompt")
    if isinstance(prompt, str) and not prompt.lstrip().startswith("[{"):
        conversation.add_text("user", prompt)
    else:
        add_messages(conversation, json_field(record, "prompt"), calls_in_text=False)
    if not conversation.messages:
        raise Unconvertible("prompt", "lacks a message with content")
    try:
        calls = parse_reference(json_field(record, "reference"))
    except Unconvertible:
        raise
    except ValueError as error:
        raise Unconvertible("reference", str(error)) from None
    reference = [{"name": call.name, "arguments": call.arguments} for call in calls]
    answer = record.get("answer")
    if not calls and not isinstance(answer, str | None):
        raise Unconvertible("answer", f"must be a text, got {type(answer).__name__}")
    names = conversation.names
    if not calls and answer and (looks_like_call(answer, names) or has_fragment(answer, names)):
        raise Unconvertible("answer", "holds a call, or a piece of one; calls belong in 'reference'")
    return [make_row(conversation.messages, conversation.tools_column, reference, answer)]
