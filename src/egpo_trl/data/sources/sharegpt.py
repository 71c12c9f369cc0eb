"""ShareGPT: `conversations` of `{"from", "value"}` with calls as JSON, in Hermes tags, or in messages of their own."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...tool_calls.calls import ToolCall, load_json
from ..assistant_text import call_of
from ..json_schema import to_tools
from ..records import Unconvertible
from .conversation import Conversation, Row, json_field, tools_of
from .hermes_tags import read_results

_ROLES = {
    **dict.fromkeys(("system",), "system"),
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "model"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "calls"),
    **dict.fromkeys(("tool", "observation", "function", "function_response", "tool_response"), "tool"),
}


def turns_of(record: Mapping[str, Any], field: str = "conversations") -> Iterator[tuple[str, Any]]:
    """
    Turns of a ShareGPT conversation.

    Args:
        record (`Mapping[str, Any]`):
            Record with a list of `{"from", "value"}`.
        field (`str`, *optional*, defaults to `"conversations"`):
            Field that holds it.

    Returns:
        `Iterator[tuple[str, Any]]`:
            Role (`"system"`, `"user"`, `"assistant"`, `"calls"` or `"tool"`) and value of each turn.

    Raises:
        Unconvertible: If it is no such list.
    """
    turns = json_field(record, field)
    if not isinstance(turns, list) or not turns:
        raise Unconvertible(field, "must be a non-empty list of turns")
    for position, turn in enumerate(turns):
        sender = turn.get("from", turn.get("role")) if isinstance(turn, Mapping) else None
        if not isinstance(sender, str) or sender not in _ROLES:
            raise Unconvertible(field, f"message {position} has the unknown sender {str(sender)[:40]!r}")
        yield _ROLES[sender], turn.get("value", turn.get("content"))


def convert_record(record: Mapping[str, Any], keep_system: bool = True) -> list[Row]:
    """
    Rows of a record; see [`~egpo_trl.data.sources.convert`].

    The calls of a step stand in a `function_call` turn (one object or a list) or in a `gpt` turn, in any syntax that
    [`~egpo_trl.data.assistant_text.read_assistant`] knows.
    """
    conversation = Conversation(tools_of(record) if record.get("tools") is not None else _tools_in_system(record))
    if keep_system and isinstance(record.get("system"), str):
        conversation.add_text("system", record["system"])
    for position, (role, value) in enumerate(turns_of(record)):
        if role == "system":
            if keep_system:
                conversation.add_text("system", value, position)
        elif role == "calls":
            conversation.add_calls(_call_turn(value, position))
        elif role == "tool":
            for result, name in read_results(value, conversation.names):
                conversation.add_result(result, name)
        elif role == "assistant":
            conversation.add_assistant(value, position)
        else:
            conversation.add_text(role, value, position)
    return conversation.rows()


def _call_turn(value: Any, position: int) -> list[ToolCall]:
    try:
        decoded = load_json(value) if isinstance(value, str) else value
        calls = [call_of(item) for item in (decoded if isinstance(decoded, list) else [decoded])]
    except ValueError as error:
        raise Unconvertible("conversations", f"message {position} is no call: {error}") from None
    if not calls:
        raise Unconvertible("conversations", f"message {position} is an empty list of calls")
    return calls


def _tools_in_system(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Functions that only a system turn lists, in `<tools>` tags."""
    for role, value in turns_of(record):
        if role == "system" and isinstance(value, str) and "<tools>" in value:
            text = value.rsplit("<tools>", 1)[1].split("</tools>", 1)[0].strip()
            try:
                listed = load_json(text if text.startswith("[") else f"[{','.join(text.splitlines())}]")
                return to_tools(listed)
            except ValueError as error:
                raise Unconvertible("conversations", f"the functions in <tools> cannot be read: {error}") from None
    raise Unconvertible("tools", "is missing")
