"""Gives TRL the calls that it executes: those that the policy wrote, as the reward reads them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from transformers import PreTrainedTokenizerBase, ProcessorMixin
from trl.chat_template_utils import supports_tool_calling

from ..tool_calls.completions import CompletionReader
from ..tool_calls.native import find_response_template, types_by_schema
from ..tool_calls.syntaxes import SYNTAX_BY_NAME
from ..tool_calls.template_syntax import find_syntax, find_turn_format
from .think_spans import ThinkTags


def ensure_response_template(
    processing_class: PreTrainedTokenizerBase | ProcessorMixin | None, think_tags: Sequence[str] | None = None
) -> None:
    """Give a tokenizer the response template that executed tools need, if it has none and TRL knows none."""
    tokenizer: Any = getattr(processing_class, "tokenizer", processing_class)
    if tokenizer is None or not isinstance(tokenizer.chat_template, str):
        return
    if getattr(tokenizer, "response_schema", None) is not None or find_response_template(tokenizer) is not None:
        return
    if not supports_tool_calling(tokenizer):
        return
    try:
        syntax = find_syntax(tokenizer)
    except ValueError:  # calls that nothing here reads: TRL says what to do
        return
    tokenizer.response_template = turn_template(tokenizer, think_tags, has_hermes_calls=syntax == "hermes")


def turn_template(
    tokenizer: PreTrainedTokenizerBase, think_tags: Sequence[str] | None = None, has_hermes_calls: bool = True
) -> dict[str, Any]:
    """Response template of a chat template; calls in another syntax than Hermes are left in the content."""
    user, answer = {"role": "user", "content": "?"}, {"role": "assistant", "content": "answer"}

    def render(messages: list[dict[str, str]], **kwargs: Any) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **kwargs))

    asked = render([user])
    opening = render([user], add_generation_prompt=True)[len(asked) :]
    end = render([user, answer]).rpartition("answer")[2].strip() or str(tokenizer.eos_token)
    calls = {
        "open": "<tool_call>",
        "close_pattern": r"</tool_call>\s*",
        "repeats": True,
        "content": "json",
        "transform": {"type": "function", "function": "{content}"},
    }
    fields: dict[str, Any] = {"content": {"close_pattern": re.escape(end) + r"\s*", "content": "text"}}
    if has_hermes_calls:
        fields = {"tool_calls": calls, **fields}
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


def turn_reader(
    tokenizer: PreTrainedTokenizerBase,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    think_tags: Sequence[str] | None = None,
    stop_token_ids: Sequence[int] = (),
    syntax: str = "auto",
) -> CompletionReader | None:
    """Reader of the calls to execute, with or without surrounding text; `None` if there is none."""
    try:
        turn = find_turn_format(tokenizer, chat_template_kwargs, syntax, think_tags)
    except ValueError:
        return None
    return CompletionReader(
        syntax=turn.syntax,
        thinking="optional",
        think_tags=turn.think_tags,
        think_prefilled=turn.think_prefilled,
        allow_text=True,
        generation_prompt=turn.generation_prompt,
        tokenizer=tokenizer,
        stop_token_ids=tuple(stop_token_ids),
    )


@contextmanager
def parsing_what_is_written(tokenizer: Any, reader: CompletionReader | None = None) -> Iterator[None]:
    """Let transformers' parser give the calls that `reader` reads; what neither can read is plain text to TRL."""
    parse, template = tokenizer.parse_response, getattr(tokenizer, "response_template", None) or {}

    def parse_or_refuse(response: Any, *args: Any, tools: Any = None, **kwargs: Any) -> Any:
        answer = None if reader is None or isinstance(response, str) else reader.read_ids(list(response), tools)
        try:
            message = parse(response, *args, tools=tools if types_by_schema(template) else None, **kwargs)
        except Exception as error:
            if answer is None or not answer.calls:
                raise ValueError(f"{type(error).__name__}: {error}") from None
            message = {"role": "assistant", "content": ""}
        if answer is not None and answer.calls:
            assert reader is not None
            if not message.get("tool_calls"):
                message["content"] = _before_calls(message.get("content") or "", reader.syntax)
            message["tool_calls"] = [
                {"type": "function", "function": {"name": call.name, "arguments": dict(call.arguments)}}
                for call in answer.calls
            ]
        return message

    tokenizer.parse_response = parse_or_refuse
    try:
        yield
    finally:
        del tokenizer.parse_response


def _before_calls(content: str, syntax: str) -> str:
    """The text before calls that transformers left in the content."""
    marks = SYNTAX_BY_NAME[syntax].marks if syntax in SYNTAX_BY_NAME else ()
    found = [content.find(mark) for mark in marks if mark in content]
    return content[: min(found)].rstrip() if found else ""
