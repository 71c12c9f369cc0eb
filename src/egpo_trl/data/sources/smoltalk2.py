"""SmolTalk2: `messages`, with the functions in `chat_template_kwargs` as `xml_tools`."""

from collections.abc import Mapping
from typing import Any

from ..records import Unconvertible
from .conversation import Row, json_field
from .messages import convert_messages

FIELDS = ("messages", "chat_template_kwargs")


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    found = record.get("messages") is not None and record.get("chat_template_kwargs") is not None
    return "it has `messages` and `chat_template_kwargs`" if found else None


def convert_record(record: Mapping[str, Any], keep_system: bool | None = None) -> list[Row]:
    """Rows of a record; see [`~egpo_trl.data.sources.convert`]. Tools that are called in Python code cannot be offered."""
    kwargs = json_field(record, "chat_template_kwargs")
    if not isinstance(kwargs, Mapping):
        raise Unconvertible("chat_template_kwargs", "must be an object")
    if kwargs.get("python_tools"):
        raise Unconvertible("chat_template_kwargs", "has python_tools, which are called in code and not as functions")
    tools = kwargs.get("xml_tools") or record.get("tools")
    system = kwargs.get("custom_instructions") or record.get("system")
    return convert_messages({**record, "tools": tools, "system": system}, keep_system=keep_system)
