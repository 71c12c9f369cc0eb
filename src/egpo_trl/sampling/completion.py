"""[`Completion`]: the answer of a model."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FINISH_REASONS = ("stop", "length", "prompt_too_long", "error")
UNSAMPLED = ("prompt_too_long", "error")  # worth 0, whatever the suite makes of an empty completion


def digest(value: Any) -> str:
    """16 hexadecimal digits that tell JSON values apart, whatever the order of their keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Completion:
    """The answer of a model; the text of one that was refused (`"error"`) is the refusal."""

    text: str  # as it came, think tags and call tags included, without the tokens that end it
    completion_ids: tuple[
        int, ...
    ] = ()  # up to and with the one that ended it; empty where the back end does not tell
    num_prompt_tokens: int | None = None
    finish_reason: str = "stop"
    message: Mapping[str, Any] | None = None  # of an endpoint that splits the text into fields

    def __post_init__(self) -> None:
        if self.finish_reason not in FINISH_REASONS:
            raise ValueError(f"finish_reason must be one of {FINISH_REASONS}, got {self.finish_reason!r}.")
