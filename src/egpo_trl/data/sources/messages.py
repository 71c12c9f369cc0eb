"""Conversations of the chat-completions API: `messages` and `tools`, as lists or JSON strings."""

from collections.abc import Mapping
from typing import Any

from ..assistant_text import call_of
from ..records import Unconvertible
from . import sharegpt
from .conversation import Conversation, Row, json_field, text_of, tools_of
from .hermes_tags import read_results

_ROLES = {"developer": "system", "function": "tool"}


def convert_record(record: Mapping[str, Any], keep_system: bool = True) -> list[Row]:
    """
    Rows of a record; see [`~egpo_trl.data.sources.convert`].

    A record with `conversations` instead of `messages` is read as ShareGPT.
    """
    if record.get("messages") is None and record.get("conversations") is not None:
        return sharegpt.convert_record(record, keep_system)
    field = "functions" if record.get("tools") is None else "tools"  # the older form of the API
    conversation = Conversation([] if record.get(field) is None else tools_of(record, field), "messages")
    add_messages(conversation, json_field(record, "messages"), keep_system)
    return conversation.rows()


def add_messages(
    conversation: Conversation, messages: Any, keep_system: bool = True, calls_in_text: bool = True
) -> None:
    """
    Add messages in the form of the chat-completions API to a conversation.

    Args:
        conversation ([`Conversation`]):
            Where they go.
        messages (`Any`):
            List of messages.
        keep_system (`bool`, *optional*, defaults to `True`):
            Whether system messages are added.
        calls_in_text (`bool`, *optional*, defaults to `True`):
            Whether calls are looked for in the text of assistant messages.

    Raises:
        Unconvertible: If it is no such list.
    """
    field = conversation.field
    if not isinstance(messages, list) or not messages:
        raise Unconvertible(field, "must be a non-empty list of messages")
    for position, message in enumerate(messages):
        role = message.get("role") if isinstance(message, Mapping) else None
        role = _ROLES.get(role, role) if isinstance(role, str) else None
        if role not in ("system", "user", "assistant", "tool"):
            raise Unconvertible(field, f"message {position} must have a role of the chat-completions API")
        calls = _calls(message, field) if role == "assistant" else []
        if calls:
            try:
                read = [call_of(call) for call in calls]
            except ValueError as error:
                raise Unconvertible(field, f"message {position}: {error}") from None
            text = text_of(message.get("content")) or ""
            if calls_in_text and text:
                again, text = conversation.read_calls(text, position)
                if again and list(again) != read:
                    raise Unconvertible(
                        field, f"message {position} holds other calls in its text than in 'tool_calls'"
                    )
            conversation.add_calls(read, text, [call.get("id") for call in calls])
        elif role == "tool":
            content = message.get("content")
            for result, name in read_results(content, conversation.names) if calls_in_text else [(content, None)]:
                conversation.add_result(result, message.get("name") or name, message.get("tool_call_id"))
        elif role == "assistant" and calls_in_text:
            conversation.add_assistant(message.get("content"), position)
        elif role != "system" or keep_system:
            conversation.add_text(role, message.get("content"), position)


def _calls(message: Mapping[str, Any], field: str) -> list[Any]:
    calls = message.get("tool_calls")
    if calls is None and message.get("function_call") is not None:
        calls = [message["function_call"]]  # the older form of the API
    if calls is not None and not isinstance(calls, list):
        raise Unconvertible(field, "'tool_calls' must be a list")
    return [call for call in calls or [] if call is not None]
