"""OpenAI's Responses: `input`, `output`, `instructions` and `tools`, or `responses_create_params` (NeMo Gym)."""

from collections.abc import Mapping
from typing import Any

from ..function_text import decoded
from ..records import Unconvertible
from .conversation import Row, json_field
from .messages import convert_messages, request_of

FIELDS = ("input", "output", "instructions", "tools", "responses_create_params", "expected_action")
_ITEMS = ("function_call", "function_call_output", "message", "reasoning")


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    if record.get("responses_create_params") is not None:
        return "it has `responses_create_params`"
    record = _logged(record)
    for field in ("output", "input"):
        try:
            items = json_field(record, field)
        except Unconvertible:
            continue
        for item in items if isinstance(items, list) else []:
            if isinstance(item, Mapping) and item.get("type") in _ITEMS and "input" in record:
                return f"its `{field}` has items of type `{item['type']}`"
    return None


def convert_record(record: Mapping[str, Any], keep_system: bool | None = None) -> list[Row]:
    """Rows of a record; see [`~egpo_trl.data.sources.convert`]. With `expected_action` the only row is that step."""
    record = _logged(record)
    request: Any = record
    if record.get("responses_create_params") is not None:
        request = json_field(record, "responses_create_params")
    if not isinstance(request, Mapping):
        raise Unconvertible("responses_create_params", "must be an object")
    messages = _items(request, "input")
    if isinstance(request.get("instructions"), str):
        messages = [{"role": "system", "content": request["instructions"]}, *messages]
    expected = record.get("expected_action")
    if expected is not None:
        messages = [*messages, *_items(record, "expected_action")]
    elif request.get("output") is not None:
        messages = [*messages, *_items(request, "output")]
    rows = convert_messages({"input": messages, "tools": request.get("tools")}, "input", keep_system)
    return rows if expected is None else rows[-1:]


def _logged(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record with the fields of its `request` or `body`, and with the `output` of its `response`."""
    request = request_of(record, "input")
    answer = decoded(record.get("response"))
    answer = decoded(answer.get("body") or answer) if isinstance(answer, Mapping) else answer
    given = answer.get("output") if isinstance(answer, Mapping) else None
    return request if given is None else {**request, "output": given}


def _items(record: Mapping[str, Any], field: str) -> list[Any]:
    """Items of a field, each as a message or an item with a role of its own."""
    value = record.get(field)
    if isinstance(value, str) and not value.lstrip().startswith(("[", "{")):
        return [{"role": "user" if field == "input" else "assistant", "content": value}]
    value = json_field(record, field)
    items = [value] if isinstance(value, Mapping) else value
    if not isinstance(items, list):
        raise Unconvertible(field, "must be a text or a list of items")
    return [_message(item) for item in items]


def _message(item: Any) -> Any:
    """An item as a message; a text without a role is the model's."""
    if not isinstance(item, Mapping):
        return item
    if item.get("type") == "message" and item.get("role") is None:
        return {**item, "role": "assistant"}
    return item
