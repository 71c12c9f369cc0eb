"""Reads the verdict of a judge, and accepts nothing else."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..tool_calls.calls import InvalidJSON, load_json
from ..tool_calls.thinking import split_completion
from .candidates import Candidate, from_value

MAX_REASON_CHARACTERS = 2000  # a longer reason is cut in the records

_CALL = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "arguments": {"type": "object"}},
    "required": ["name", "arguments"],
    "additionalProperties": False,
}
VERDICT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "correct": {"type": "boolean"},
        "reason": {"type": "string"},
        "corrected": {"anyOf": [{"type": "null"}, {"type": "string"}, {"type": "array", "items": _CALL}]},
    },
    "required": ["correct", "reason", "corrected"],
    "additionalProperties": False,
}

_FENCE = re.compile(r"\A```(?:json)?[ \t]*\n(.*)\n```\Z", re.DOTALL)


class InvalidVerdict(ValueError):
    """A reply of the judge that is not a verdict."""


@dataclass(frozen=True)
class Verdict:
    """The judgement of an answer; `corrected` is the right answer where this one is wrong and the judge knows one."""

    correct: bool
    reason: str
    corrected: Candidate | None = None


def parse_verdict(text: str, judged: Candidate, names: Collection[str] = ()) -> Verdict:
    """Read a reply of the judge: strict JSON, after a think block or in a Markdown fence."""
    split = split_completion(text, "optional")
    if split.reason is not None:
        raise InvalidVerdict(f"the reply breaks off in its chain of thought ({split.reason})")
    answer = split.answer.strip()
    fenced = _FENCE.match(answer)
    try:
        value = load_json(fenced.group(1) if fenced else answer)
    except InvalidJSON as error:
        raise InvalidVerdict(f"the reply is not JSON: {error}") from None
    if not isinstance(value, dict) or not {"correct", "reason"} <= value.keys() <= {"correct", "reason", "corrected"}:
        raise InvalidVerdict("the reply must be an object with the keys 'correct', 'reason' and 'corrected'")
    correct, reason, corrected = value["correct"], value["reason"], value.get("corrected")
    if not isinstance(correct, bool):
        raise InvalidVerdict("'correct' must be true or false")
    if not isinstance(reason, str):
        raise InvalidVerdict("'reason' must be a string")
    if not correct and "corrected" not in value:
        raise InvalidVerdict("'corrected' is missing though the answer is wrong")
    if correct and (not corrected or corrected == judged.text):
        corrected = None
    try:
        candidate = None if corrected is None else from_value(corrected, () if correct else names)
    except ValueError as error:
        raise InvalidVerdict(f"'corrected': {error}") from None
    if correct and candidate is not None and candidate.calls != judged.calls:
        raise InvalidVerdict("'corrected' is another answer though this one is said to be correct")
    return Verdict(correct, reason[:MAX_REASON_CHARACTERS], None if correct else candidate)
