"""xLAM and APIGen: `query`, and `tools` and `answers` as JSON strings. Single turn."""

from collections.abc import Mapping
from typing import Any

from ..records import Unconvertible
from .conversation import Conversation, Row, tools_of
from .messages import add_answers

FIELDS = ("query", "tools", "answers")
RENAMED = {"messages": "query"}


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    found = isinstance(record.get("query"), str) and record.get("answers") is not None
    return "it has `query` and `answers`" if found else None


def convert_record(record: Mapping[str, Any]) -> list[Row]:
    """
    Rows of a record; see [`~egpo_trl.data.sources.convert`].

    A parameter is required unless its type says `optional` or it has a default value. Answers that are text make the
    reference empty and become the answer.
    """
    conversation = Conversation(tools_of(record), "query")
    conversation.add_text("user", record.get("query"))
    if record.get("answers") is None:
        raise Unconvertible("answers", "is missing")
    add_answers(conversation, record["answers"], "answers")
    return conversation.rows()
