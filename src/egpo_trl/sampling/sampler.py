"""What samples: a model in this process or behind an endpoint, one protocol for all."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .completion import Completion
from .config import EvaluationConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class PromptFormat:
    """
    How rows become prompts; a suite reads completions by the same.

    Args:
        style (`str`, *optional*, defaults to `"native"`):
            Prompt style, see [`~egpo_trl.data.prompts.to_messages`].
        think_tags (`tuple[str, str]`, *optional*):
            Opening and closing tag of the chain of thought, where they are not the model's own.
        chat_template_kwargs (`Mapping`, *optional*):
            Further arguments of the chat template.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Tokenizer with the chat template; `None` where an endpoint renders the prompts.
        stop_token_ids (`tuple[int, ...]`, *optional*):
            Token ids that end a completion beside the tokenizer's end-of-sequence token.
    """

    style: str = "native"
    think_tags: tuple[str, str] | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: "PreTrainedTokenizerBase | None" = None
    stop_token_ids: tuple[int, ...] = ()


def prompt_format(
    config: EvaluationConfig, tokenizer: "PreTrainedTokenizerBase | None" = None, stop_token_ids: Sequence[int] = ()
) -> PromptFormat:
    """
    The format of the prompts that a configuration asks for.

    Args:
        config ([`EvaluationConfig`]):
            Style, think tags and template arguments.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Tokenizer that renders them here.
        stop_token_ids (`Sequence[int]`, *optional*):
            Token ids that end a completion.

    Returns:
        [`PromptFormat`]:
            The format.
    """
    given = config.think_tags or (
        ["<think>", "</think>"] if config.prompt_style == "paper" else None
    )  # it asks for these
    tags = None if given is None else (given[0], given[1])
    return PromptFormat(config.prompt_style, tags, config.template_kwargs, tokenizer, tuple(stop_token_ids))


@dataclass(frozen=True)
class Request:
    """
    A prompt to sample.

    Args:
        row (`Mapping[str, Any]`):
            `prompt`, messages or a rendered string, and `tools`, a JSON string of function schemas.
        seed (`int`):
            Seed of this completion, from [`request_seed`].
    """

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

        Args:
            requests (`Sequence[Request]`):
                What to sample.

        Yields:
            `tuple[int, Completion]`:
                Position of a request and its completion, as they finish, in any order.

        Raises:
            SamplingStopped: If the back end fails for good; what was yielded counts.
        """

    def close(self) -> None:
        """Let the model or the connections go."""


class SamplingStopped(RuntimeError):
    """An evaluation that ended before everything was sampled; running it again goes on where it was."""


def request_seed(seed: int, item_id: str, sample: int, step: int) -> int:
    """
    Seed of one completion: it depends on nothing that a batch or a resumption could change.

    Args:
        seed (`int`):
            Seed of the run.
        item_id (`str`):
            The item.
        sample (`int`):
            Number of the sample.
        step (`int`):
            Number of the step in the conversation.

    Returns:
        `int`:
            Between 0 and 2^31 - 1, which every back end takes.
    """
    key = f"{seed}\n{sample}\n{step}\n{item_id}"
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") & 0x7FFFFFFF
