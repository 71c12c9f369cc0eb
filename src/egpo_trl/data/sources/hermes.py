"""Hermes function-calling-v1: ShareGPT `conversations` with `<tools>` in the system message, `<tool_call>` in answers."""

from collections.abc import Mapping
from typing import Any

from . import sharegpt
from .conversation import Row

FIELDS = ("conversations", "tools")


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    listed = any(sender == "system" and "<tools>" in text for sender, text in sharegpt.turns_of(record)[:2])
    return "its `conversations` list the functions in `<tools>`" if listed else None


def convert_record(record: Mapping[str, Any], keep_system: bool = False) -> list[Row]:
    """
    Rows of a record; see [`~egpo_trl.data.sources.convert`].

    The system message repeats the functions and asks for the Hermes syntax, which the chat template of the model to be
    trained does in its own way: it is left out unless `keep_system` is set.
    """
    return sharegpt.convert_record(record, keep_system)
