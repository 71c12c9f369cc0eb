"""Candidates: answers to be judged, as calls or as a text."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..data.assistant_text import looks_like_call, read_written_calls
from ..tool_calls.calls import MAX_CALLS, InvalidJSON, check_value, parse_reference


@dataclass(frozen=True)
class Candidate:
    """An answer as calls, or as text."""

    calls: list[dict[str, Any]]
    text: str | None = None

    def render(self) -> str:
        """How the judge sees the answer."""
        if self.calls:
            return json.dumps(self.calls, ensure_ascii=False)
        return f"(text, no call) {self.text}" if self.text else "(some text, no call)"

    def columns(self) -> dict[str, Any]:
        """The `reference` and `answer` columns of a row with this answer."""
        return {"reference": json.dumps(self.calls, ensure_ascii=False), "answer": None if self.calls else self.text}

    @property
    def value(self) -> list[dict[str, Any]] | str:
        """The answer as a verdict writes it: a list of calls, or a string; an empty list is a text that is not known."""
        return self.calls or self.text or []


def from_row(row: Mapping[str, Any]) -> Candidate:
    """The answer that a row refers to: its `reference`, and its `answer` column where the reference is empty."""
    text = row.get("answer")
    return Candidate(json.loads(row["reference"]), text if isinstance(text, str) else None)


def from_value(value: Any, names: Collection[str] = ()) -> Candidate:
    """The answer that a judge proposes: a list of calls, or a text, which may be written calls but must not contain one."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("must not be blank")
        calls = () if value.strip() == "[]" else read_written_calls(value)
        if calls is None:
            if looks_like_call(value, names):
                raise ValueError("is a text with a piece of a call in it; calls must be a list")
            return Candidate([], value)
        value = [{"name": call.name, "arguments": call.arguments} for call in calls]
    if not isinstance(value, list):
        raise ValueError("must be a list of calls, a string or null")
    if len(value) > MAX_CALLS:
        raise ValueError(f"has {len(value)} calls, more than {MAX_CALLS}")
    parse_reference(value)
    try:
        check_value(value)
    except InvalidJSON as error:
        raise ValueError(str(error)) from None
    return Candidate(value)
