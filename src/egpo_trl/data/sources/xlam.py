"""xLAM and APIGen: `query`, and `tools` and `answers` as JSON strings. Single turn."""

from collections.abc import Mapping
from typing import Any

from ...tool_calls.calls import parse_reference
from ..records import Unconvertible
from .conversation import Conversation, Row, json_field, tools_of


def convert_record(record: Mapping[str, Any]) -> list[Row]:
    """
    Rows of a record; see [`~egpo_trl.data.sources.convert`].

    A parameter is required unless its type says `optional` or it has a default value. Answers that are text make the
    reference empty and become the answer.
    """
    conversation = Conversation(tools_of(record), "query")
    conversation.add_text("user", record.get("query"))
    answers = record.get("answers")
    if isinstance(answers, str) and answers.strip() and answers.lstrip()[0] not in "[{":
        conversation.field = "answers"
        conversation.add_assistant(answers, 1)
        return conversation.rows()
    try:
        calls = parse_reference(json_field(record, "answers"))
    except Unconvertible:
        raise
    except ValueError as error:
        raise Unconvertible("answers", str(error)) from None
    conversation.add_calls(calls)
    return conversation.rows()
