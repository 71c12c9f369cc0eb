"""Renders rows in the format of a sampler's prompts, with the renderer of training."""

from collections.abc import Mapping
from typing import Any

from ..data import rendering
from ..data.prompts import DEFAULT_THINK_TAGS, to_messages
from ..data.template_form import API_FORM, in_form
from ..tool_calls.calls import parse_row_tools
from .sampler import PromptFormat


class PromptRenderer(rendering.PromptRenderer):
    """[`~egpo_trl.data.rendering.PromptRenderer`] of a [`PromptFormat`]."""

    def __init__(self, prompts: PromptFormat, render_tools: bool = True) -> None:
        if prompts.tokenizer is None:
            raise ValueError("Prompts cannot be rendered without a tokenizer.")
        super().__init__(
            prompts.tokenizer, prompts.style, prompts.think_tags, prompts.chat_template_kwargs, render_tools
        )


def api_messages(row: Mapping[str, Any], prompts: PromptFormat) -> tuple[list[dict[str, Any]], Any]:
    """Messages and functions of a row as a chat-completions endpoint takes them."""
    messages = to_messages(row, prompts.style, prompts.think_tags or DEFAULT_THINK_TAGS)
    return in_form(messages, API_FORM), parse_row_tools(row.get("tools")) if prompts.style == "native" else None
