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
    """
    The answer of a model.

    Args:
        text (`str`):
            The completion as it came, think tags and call tags included, without the tokens that end it. An endpoint
            that takes the text apart gives a `message`, from which the text is put together again.
        completion_ids (`tuple[int, ...]`, *optional*, defaults to `()`):
            Token ids, up to and with the one that ended it; empty where the back end does not tell.
        num_prompt_tokens (`int`, *optional*):
            Tokens of the prompt, where they are known.
        finish_reason (`str`, *optional*, defaults to `"stop"`):
            `"stop"`; `"length"`, cut off at the limit; `"prompt_too_long"`, never sampled; `"error"`, refused by the
            endpoint, with what it said as `text`.
        message (`Mapping`, *optional*):
            Assistant message of an endpoint, with `content`, `reasoning_content` and `tool_calls` where it has them.
    """

    text: str
    completion_ids: tuple[int, ...] = ()
    num_prompt_tokens: int | None = None
    finish_reason: str = "stop"
    message: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.finish_reason not in FINISH_REASONS:
            raise ValueError(f"finish_reason must be one of {FINISH_REASONS}, got {self.finish_reason!r}.")
