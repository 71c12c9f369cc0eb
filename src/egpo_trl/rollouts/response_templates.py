"""How TRL finds the calls that it executes: the tokenizer's response template, and the parser behind it.

TRL brings a response template along for the chat templates of released models; here is one for any other that writes
Hermes calls. And the parser, which sees what the policy wrote, must not end a run.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from ..tool_calls.native import find_response_template
from ..tool_calls.template_syntax import find_syntax
from .think_spans import ThinkTags


def ensure_response_template(
    processing_class: PreTrainedTokenizerBase | ProcessorMixin | None, think_tags: Sequence[str] | None = None
) -> None:
    """
    Give a tokenizer the response template that executed tools need, if nobody has one for it.

    A tokenizer that has one, whose chat template TRL knows, or whose calls are not in the Hermes syntax is left alone.

    Args:
        processing_class ([`~transformers.PreTrainedTokenizerBase`] or [`~transformers.ProcessorMixin`], *optional*):
            Tokenizer, or processor with one. Its attribute `response_template` is set.
        think_tags (`Sequence[str]`, *optional*):
            Opening and closing tag of the chain of thought. By default they are read off the tokenizer.
    """
    tokenizer: Any = getattr(processing_class, "tokenizer", processing_class)
    if tokenizer is None or not isinstance(tokenizer.chat_template, str):
        return
    if getattr(tokenizer, "response_schema", None) is not None or find_response_template(tokenizer) is not None:
        return
    with suppress(ValueError):  # calls that nothing here reads: TRL says what to do
        if find_syntax(tokenizer) == "hermes":
            tokenizer.response_template = hermes_template(tokenizer, think_tags)


def hermes_template(tokenizer: PreTrainedTokenizerBase, think_tags: Sequence[str] | None = None) -> dict[str, Any]:
    """
    Response template of a chat template that writes Hermes calls.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer with the chat template.
        think_tags (`Sequence[str]`, *optional*):
            Opening and closing tag of the chain of thought. By default they are read off the tokenizer; without any,
            the template reads no reasoning.

    Returns:
        `dict`:
            Template in the form of transformers' response parsing.
    """
    user, answer = {"role": "user", "content": "?"}, {"role": "assistant", "content": "answer"}

    def render(messages: list[dict[str, str]], **kwargs: Any) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **kwargs))

    asked = render([user])
    opening = render([user], add_generation_prompt=True)[len(asked) :]
    end = render([user, answer]).rpartition("answer")[2].strip() or str(tokenizer.eos_token)
    fields: dict[str, Any] = {
        "tool_calls": {
            "open": "<tool_call>",
            "close_pattern": r"</tool_call>\s*",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": re.escape(end) + r"\s*", "content": "text"},
    }
    try:
        tags = ThinkTags(tokenizer, think_tags)
    except ValueError:
        return {"defaults": {"role": "assistant"}, "start_anchor": opening, "fields": fields}
    thought = {"open": tags.start, "close_pattern": re.escape(tags.end) + r"\s*", "content": "text"}
    return {
        "defaults": {"role": "assistant"},
        "start_anchor": opening.partition(tags.start)[0],
        "fields": {"reasoning_content": thought, **fields},
    }


@contextmanager
def parsing_that_cannot_fail(tokenizer: Any) -> Iterator[None]:
    """
    Let whatever transformers' parser raises on a completion be the `ValueError` for which TRL takes it as plain text.

    Calls that are nested too deeply, for instance, raise a `RecursionError`, which would end the run.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer; as it was when the context is left.
    """
    parse = tokenizer.parse_response

    def parse_or_refuse(*args: Any, **kwargs: Any) -> Any:
        try:
            return parse(*args, **kwargs)
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None

    tokenizer.parse_response = parse_or_refuse
    try:
        yield
    finally:
        del tokenizer.parse_response
