"""When2Call: `messages` with a `chosen_response` (preference), or a `question` with `answers` by kind (test)."""

from collections.abc import Mapping
from typing import Any

from ..records import Unconvertible
from .conversation import Row, json_field
from .messages import convert_messages

FIELDS = ("messages", "chosen_response", "tools", "question", "correct_answer", "answers")


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    if record.get("chosen_response") is not None:
        return "it has `chosen_response`"
    return (
        "it has `question` and `correct_answer`"
        if {"question", "correct_answer", "answers"} <= record.keys()
        else None
    )


def convert_record(record: Mapping[str, Any], keep_system: bool | None = None) -> list[Row]:
    """The row of a record, with the preferred answer; see [`~egpo_trl.data.sources.convert`]."""
    if record.get("chosen_response") is not None:
        return convert_messages({**record, "answers": record["chosen_response"]}, keep_system=keep_system)[-1:]
    answers, kind = json_field(record, "answers"), record.get("correct_answer")
    if not isinstance(answers, Mapping) or not isinstance(kind, str) or answers.get(kind) is None:
        raise Unconvertible("answers", "must hold the answer that 'correct_answer' names")
    return convert_messages({**record, "answers": answers[kind]}, "question", keep_system)
