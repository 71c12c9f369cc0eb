"""What passes between suites, samplers and the runner: items, completions, samples and scores."""

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
class Item:
    """
    One thing that a suite asks of a model.

    Args:
        id (`str`):
            Name that no other item of the suite has; the same in every run.
        category (`str`):
            Row of the table that it counts in.
        row (`Mapping[str, Any]`):
            Canonical row (`prompt`, `tools`, `reference`), or what the suite needs instead; JSON values.
    """

    id: str
    category: str
    row: Mapping[str, Any]


@dataclass(frozen=True)
class Completion:
    """
    What a model answered.

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


@dataclass(frozen=True)
class Sample:
    """
    A finished conversation.

    Args:
        item ([`Item`]):
            What was asked.
        number (`int`):
            Number among the samples of its item, from 0.
        completions (`tuple[Completion, ...]`):
            One for each step, in order.
        outcome (`Any`, *optional*):
            What the suite's generator returned.
        failure (`str`, *optional*):
            The error that ended the generator, if one did.
    """

    item: Item
    number: int
    completions: tuple[Completion, ...]
    outcome: Any = None
    failure: str | None = None

    @property
    def text(self) -> str:
        """Text of the last completion."""
        return self.completions[-1].text if self.completions else ""

    @property
    def unscorable(self) -> str | None:
        """Why the sample is worth 0 whatever it holds; `None` for one that the suite is to judge."""
        if self.failure is not None:
            return "conversation_failed"
        return next((one.finish_reason for one in self.completions if one.finish_reason in UNSAMPLED), None)


@dataclass(frozen=True)
class Scored:
    """
    What a sample is worth.

    Args:
        id (`str`):
            The item.
        category (`str`):
            Its category.
        sample (`int`):
            Number of the sample.
        score (`float`):
            Between 0 and 1.
        reason (`str`):
            `"correct"`, or what failed.
    """

    id: str
    category: str
    sample: int
    score: float
    reason: str
