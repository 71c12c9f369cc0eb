"""ShareGPT: `conversations` of `{"from", "value"}` with calls as JSON, in tags, or in messages of their own."""

from collections.abc import Mapping
from typing import Any

from ..records import Unconvertible
from .conversation import Row, json_field
from .messages import convert_messages

FIELDS = ("conversations", "tools", "system")
IS_GENERAL = True


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    return "it has `conversations`" if record.get("conversations") is not None else None


def turns_of(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Sender and text of the turns of a record whose values are texts; empty where it has none, for recognising it."""
    try:
        turns = json_field(record, "conversations")
    except Unconvertible:
        return []
    found = [turn for turn in turns if isinstance(turn, Mapping)] if isinstance(turns, list) else []
    pairs = ((turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))) for turn in found)
    return [(sender, text) for sender, text in pairs if isinstance(sender, str) and isinstance(text, str)]


def convert_record(record: Mapping[str, Any], keep_system: bool | None = None) -> list[Row]:
    """Rows of a record; see [`~egpo_trl.data.sources.convert`]."""
    return convert_messages(record, "conversations", keep_system)
