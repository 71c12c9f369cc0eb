"""ToolACE: functions in the `system` text, `conversations` with calls such as `[Get Weather(city="Rome")]`."""

import re
from collections.abc import Mapping
from typing import Any

from ...tool_calls.calls import InvalidJSON, ToolCall, decode_json
from ...tool_calls.named_calls import read_named_calls
from ..json_schema import to_tools
from ..records import Unconvertible
from .conversation import Conversation, Row, dump_json, json_field
from .messages import add_messages

FIELDS = ("system", "conversations")

_LIST = re.compile(r"\[\s*(?=\{|\])")
# A list whose first element is a name (which may hold blanks) with an opening parenthesis after it.
_CALL_LIST = re.compile(r"\[\s*[^\W\d][^\[\](){}\"'=,]*\(")


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    system = record.get("system")
    if record.get("tools") or record.get("conversations") is None or not isinstance(system, str):
        return None
    return "its `system` holds a list of functions" if _LIST.search(system) and '"name"' in system else None


def convert_record(record: Mapping[str, Any], keep_system: bool = False) -> list[Row]:
    """Rows of a record; see [`~egpo_trl.data.sources.convert`]."""
    system = record.get("system")
    if not isinstance(system, str):
        raise Unconvertible("system", "must be the text that holds the functions")
    functions, beside = _split_system(system)
    conversation = Conversation(functions)
    if keep_system:
        conversation.add_text("system", beside)
    names = [tool["function"]["name"] for tool in functions]
    turns = json_field(record, "conversations")
    if not isinstance(turns, list) or not turns:
        raise Unconvertible("conversations", "must be a non-empty list of messages")
    for position, turn in enumerate(turns):
        sender = turn.get("from", turn.get("role")) if isinstance(turn, Mapping) else None
        value = turn.get("value", turn.get("content")) if isinstance(turn, Mapping) else None
        if sender == "tool":
            _add_results(conversation, value)
        elif sender in ("assistant", "gpt") and isinstance(value, str) and (calls := _calls(value, names, position)):
            conversation.add_calls(calls)
        else:
            add_messages(conversation, [turn], keep_system, first=position)
    return conversation.rows()


def _split_system(system: str) -> tuple[list[dict[str, Any]], str]:
    """Functions of a system text, and the text without them."""
    for start in _LIST.finditer(system):
        try:
            functions, end = decode_json(system, start.start())
        except InvalidJSON as error:
            raise Unconvertible("system", f"the list of functions is not JSON: {error}") from None
        try:
            return to_tools(functions), system[: start.start()] + system[end:]
        except ValueError as error:
            raise Unconvertible("system", str(error)) from None
    raise Unconvertible("system", "holds no list of functions")


def _calls(text: str, names: list[str], position: int) -> tuple[ToolCall, ...]:
    """Calls of an assistant message, empty for text."""
    text = text.strip()
    if _CALL_LIST.match(text):
        calls = read_named_calls(text)
        if calls is None:
            raise Unconvertible("conversations", f"message {position} holds a call that cannot be read")
        return calls
    if any(f"{name}(" in text for name in names):
        raise Unconvertible("conversations", f"message {position} holds a call with text beside it")
    return ()


def _add_results(conversation: Conversation, value: Any) -> None:
    """A tool turn lists one `{"name", "results"}` for each call; where it is anything else it is one result."""
    try:
        results, end = decode_json(value.strip()) if isinstance(value, str) else (value, 0)
        whole = not isinstance(value, str) or end == len(value.strip())
    except InvalidJSON:
        results, whole = None, False
    if whole and isinstance(results, list) and results and all(isinstance(item, dict) for item in results):
        for item in results:
            content = item.get("results", item)
            conversation.add_result(content if isinstance(content, str) else dump_json(content), item.get("name"))
    else:
        conversation.add_result(value)
