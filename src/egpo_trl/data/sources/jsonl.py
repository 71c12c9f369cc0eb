"""Rows of a user's own: `prompt`, `tools` and `reference`, as values or as JSON strings."""

from collections.abc import Mapping
from typing import Any

from ...tool_calls.calls import parse_reference
from .conversation import Conversation, Row, dump_json, json_field, tools_of
from .messages import add_messages
from .records import Unconvertible


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
        add_messages(conversation, json_field(record, "prompt"))
    if not conversation.messages:
        raise Unconvertible("prompt", "has no message with content")
    try:
        calls = parse_reference(json_field(record, "reference"))
    except Unconvertible:
        raise
    except ValueError as error:
        raise Unconvertible("reference", str(error)) from None
    reference = [{"name": call.name, "arguments": call.arguments} for call in calls]
    tools = dump_json(conversation.tools)
    return [{"prompt": conversation.messages, "tools": tools, "reference": dump_json(reference)}]
