"""Hermes function-calling-v1: ShareGPT `conversations` with `<tool_call>` blocks, and `tools` as a JSON string."""

from collections.abc import Mapping
from typing import Any

from . import sharegpt
from .conversation import Row


def convert_record(record: Mapping[str, Any], keep_system: bool = False) -> list[Row]:
    """
    Rows of a record; see [`~egpo_trl.data.sources.convert`].

    The system message repeats the functions and asks for the Hermes syntax, which the chat template of the model to be
    trained does in its own way: it is left out unless `keep_system` is set.
    """
    return sharegpt.convert_record(record, keep_system)
