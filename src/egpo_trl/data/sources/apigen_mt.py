"""APIGen-MT: `system` (the policy), `tools` as a JSON string, `conversations` of human, gpt, function_call, observation."""

from collections.abc import Mapping
from typing import Any

from ..records import Unconvertible
from . import sharegpt
from .conversation import Row

FIELDS = ("conversations", "tools", "system")


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    if not isinstance(record.get("tools"), str) or not isinstance(record.get("system"), str):
        return None
    senders = {sender for sender, _ in sharegpt.turns_of(record)}
    return "it has `system`, `tools` and `function_call` turns" if {"human", "function_call"} <= senders else None


def convert_record(record: Mapping[str, Any], keep_system: bool | None = None) -> list[Row]:
    """Rows of a record; see [`~egpo_trl.data.sources.convert`]."""
    for field in ("tools", "system"):
        if not isinstance(record.get(field), str):
            raise Unconvertible(field, "must be a string")
    return sharegpt.convert_record(record, keep_system)
