"""Rows as prompts, token for token as [`EGPOTrainer`] renders them."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..data.prompts import takes_objects, template_messages, to_messages
from ..tool_calls.calls import parse_row_tools
from .sampler import PromptFormat

DEFAULT_THINK_TAGS = ("<think>", "</think>")


def prompt_messages(row: Mapping[str, Any], prompts: PromptFormat) -> tuple[list[dict[str, Any]], Any]:
    """
    Messages and tools of a row in a prompt style.

    Args:
        row (`Mapping[str, Any]`):
            Canonical row with messages as `prompt`.
        prompts ([`PromptFormat`]):
            Style and think tags.

    Returns:
        `tuple`:
            Messages, and the function schemas that the chat template is to render, or `None`.
    """
    messages = to_messages(row, prompts.style, prompts.think_tags or DEFAULT_THINK_TAGS)
    return messages, parse_row_tools(row.get("tools")) if prompts.style == "native" else None


class PromptRenderer:
    """
    Renders rows with a tokenizer's chat template.

    Args:
        prompts ([`PromptFormat`]):
            Style, template arguments and tokenizer.
        render_tools (`bool`, *optional*, defaults to `True`):
            Whether a row's tools are handed to the chat template (native style).

    Raises:
        ValueError: If there is no tokenizer.
    """

    def __init__(self, prompts: PromptFormat, render_tools: bool = True) -> None:
        if prompts.tokenizer is None:
            raise ValueError("Prompts are rendered with a tokenizer, and there is none.")
        self._prompts = prompts
        self._tokenizer: PreTrainedTokenizerBase = prompts.tokenizer
        self._render_tools = render_tools

    def __call__(self, row: Mapping[str, Any]) -> list[int]:
        """
        Token ids of the prompt of a row.

        Args:
            row (`Mapping[str, Any]`):
                Canonical row; a `prompt` that is a string is taken as rendered.

        Returns:
            `list[int]`:
                Token ids.
        """
        if isinstance(row["prompt"], str):
            return list(self._tokenizer(row["prompt"])["input_ids"])
        messages, tools = prompt_messages(row, self._prompts)
        has_calls = any(message.get("tool_calls") for message in messages)
        messages = template_messages(messages, has_calls and self._takes_objects)
        return self._apply(messages, tools if self._render_tools else None)

    def _apply(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> list[int]:
        rendered = self._tokenizer.apply_chat_template(
            messages,
            tools=tools or None,  # some templates render boilerplate for an empty list
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            **self._prompts.chat_template_kwargs,
        )
        return list(rendered["input_ids"])

    @cached_property
    def _takes_objects(self) -> bool:
        return takes_objects(lambda messages: self._apply(messages, None))
