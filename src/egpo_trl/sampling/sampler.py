"""Defines the protocol of samplers."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .completion import Completion
from .config import SamplingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class PromptFormat:
    """How rows become prompts; a suite reads completions by the same format."""

    style: str = "native"
    think_tags: tuple[str, str] | None = None  # where they are not the model's own
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: "PreTrainedTokenizerBase | None" = None  # `None` where an endpoint renders the prompts
    stop_token_ids: tuple[int, ...] = ()  # that end a completion, besides the tokenizer's end-of-sequence token


def prompt_format(
    config: SamplingConfig, tokenizer: "PreTrainedTokenizerBase | None" = None, stop_token_ids: Sequence[int] = ()
) -> PromptFormat:
    """The format of the prompts that a configuration asks for."""
    given = config.think_tags or (
        ["<think>", "</think>"] if config.prompt_style == "paper" else None
    )  # it asks for these
    tags = None if given is None else (given[0], given[1])
    return PromptFormat(config.prompt_style, tags, config.template_kwargs, tokenizer, tuple(stop_token_ids))


@dataclass(frozen=True)
class Request:
    """A row to sample: `prompt`, messages or a rendered string, `tools` as JSON, and the seed of this completion."""

    row: Mapping[str, Any]
    seed: int = 0


class Sampler(Protocol):
    """A model to sample. Any object with these members will do."""

    prompts: PromptFormat

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the completions depend on, as JSON values: a run is continued only with an equal one."""

    def sample(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """
        Sample a completion for each request.

        The caller may append requests to the list while completions are yielded. A sampler answers those too, or leaves
        them to the next call, as one that works in batches does.
        """

    def close(self) -> None:
        """Release the model or the connections."""


class SamplingStopped(RuntimeError):
    """An evaluation that ended before everything was sampled; running it again continues it."""


def request_seed(seed: int, item_id: str, sample: int, step: int) -> int:
    """Seed of one completion, at most 2^31 - 1: it depends on nothing that a batch or a resumption could change."""
    key = f"{seed}\n{sample}\n{step}\n{item_id}"
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") & 0x7FFFFFFF
