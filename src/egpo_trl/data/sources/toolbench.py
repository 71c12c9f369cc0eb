"""ToolBench: `conversations` with the functions in the system text, `Action:` and `Action Input:` in answers."""

from collections.abc import Mapping
from typing import Any

from ..function_text import read_functions
from ..records import Unconvertible
from .conversation import Row, json_field
from .messages import convert_messages
from .sharegpt import turns_of

FIELDS = ("conversations",)
_LIST = "following APIs:"


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    listed = any(sender == "system" and _LIST in text for sender, text in turns_of(record)[:2])
    return f"its system message lists the functions after '{_LIST}'" if listed else None


def convert_record(record: Mapping[str, Any], keep_system: bool = False) -> list[Row]:
    """
    Rows of a record; see [`~egpo_trl.data.sources.convert`].

    The thought becomes the text with the call. `Finish`, with which a solution ends, is one of the functions and stays one.
    """
    turns = json_field(record, "conversations")
    for sender, text in turns_of(record):
        if sender == "system" and _LIST in text:
            try:
                functions = read_functions(text.split(_LIST, 1)[1])
            except ValueError as error:
                raise Unconvertible("conversations", f"the functions cannot be read: {error}") from None
            turns = [_without_begin(turn) for turn in turns]
            return convert_messages({"conversations": turns, "tools": functions}, "conversations", keep_system)
    raise Unconvertible("conversations", f"the system message does not list functions after {_LIST!r}")


def _without_begin(turn: Any) -> Any:
    """A turn without the `Begin!` that ends the user's request."""
    if not isinstance(turn, Mapping):
        return turn
    key = "value" if "value" in turn else "content"
    text = turn.get(key)
    if isinstance(text, str) and turn.get("from", turn.get("role")) in ("user", "human"):
        return {**turn, key: text.strip().removesuffix("Begin!").strip()}
    return turn
