"""Finds the syntax of a chat template by letting it write a call, and writes calls through it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .argument_types import read_arguments
from .calls import ToolCall
from .native import find_response_template
from .syntaxes import SYNTAX_BY_NAME
from .thinking import find_think_tags, split_completion

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE = ToolCall("probe_tool", {"number": 1})
_END_OF_TURN = re.compile(r"\s*(?:<[^<>\s]+>|\[e~\[)\s*$")


def find_syntax(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Syntax of tool calls of a tokenizer, found by letting its chat template write one."""
    template = tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else ""
    named = [name for name, syntax in SYNTAX_BY_NAME.items() if any(mark in template for mark in syntax.marks)]
    written = list(dict.fromkeys(_written_turns(tokenizer, [_PROBE])))
    for text in written:
        found = _reads(text)
        if found == "json" and len(named) == 1:  # a template may store calls in other words than it asks for
            return named[0]
        if found is not None:
            return found
    if find_response_template(tokenizer) is not None:
        return "native"
    if not written and len(named) == 1:
        return named[0]
    if not written and "tool" not in template:
        return "pythonic"
    shown = (
        f"writes a call as {written[0][:120]!r}, which nothing here reads"
        if written
        else ("mentions tools, but shows neither a call of the assistant's nor the tokens of one")
    )
    raise ValueError(
        f"The chat template of {tokenizer.name_or_path!r} {shown}, and neither transformers nor TRL knows how to parse its "
        f"calls. Name the syntax that the model writes (one of {', '.join(SYNTAX_BY_NAME)}), set "
        "tokenizer.response_template, or use the prompt style 'paper' with the syntax 'pythonic'."
    )


class TurnFormat(NamedTuple):
    """How the turns of a policy look: syntax of calls, think tags, and how the prompt starts a turn."""

    syntax: str
    think_tags: tuple[str, str]
    think_prefilled: bool | None  # `None` without a chat template
    thinking_off: bool
    generation_prompt: str


def find_turn_format(
    tokenizer: "PreTrainedTokenizerBase",
    chat_template_kwargs: Mapping[str, Any] | None = None,
    syntax: str = "auto",
    think_tags: Sequence[str] | None = None,
) -> TurnFormat:
    """What a tokenizer and its chat template say of a turn, where it is not given; raises as [`find_syntax`]."""
    syntax = find_syntax(tokenizer) if syntax == "auto" else syntax
    own = SYNTAX_BY_NAME[syntax].think_tags if syntax in SYNTAX_BY_NAME else None
    start, end = think_tags or own or find_think_tags(tokenizer) or ("<think>", "</think>")
    prompt = ""
    if tokenizer.chat_template:
        message = [{"role": "user", "content": "?"}]
        options = {"add_generation_prompt": True, "tokenize": False, **dict(chat_template_kwargs or {})}
        prompt = str(tokenizer.apply_chat_template(message, **options))
    said = prompt.rstrip()
    off = (chat_template_kwargs or {}).get("enable_thinking") is False or said.endswith(end)
    return TurnFormat(syntax, (start, end), said.endswith(start.rstrip()) if prompt else None, off, prompt)


def write_by_template(tokenizer: "PreTrainedTokenizerBase", calls: Sequence[ToolCall]) -> str:
    """Calls as a chat template writes them, without the end of the turn; raises [`ValueError`] where it writes none."""
    for text in _written_turns(tokenizer, calls):
        return _END_OF_TURN.sub("", text.rstrip().removesuffix(str(tokenizer.eos_token)))
    raise ValueError(f"The chat template of {tokenizer.name_or_path!r} does not write calls.")


def call_ids(calls: Sequence[ToolCall]) -> Iterator[list[str]]:
    """Ids of calls in the forms that templates ask for: any, 9 letters and digits (Mistral), named (Kimi)."""
    yield [f"call_{at:04d}" for at in range(len(calls))]
    yield [f"{at:09d}" for at in range(len(calls))]
    yield [f"functions.{call.name}:{at}" for at, call in enumerate(calls)]


def _reads(text: str) -> str | None:
    """Name of the syntax that reads exactly the probe in a turn, whatever ends the turn."""
    while True:
        for name, syntax in SYNTAX_BY_NAME.items():
            calls = syntax.read(text, (), False).calls
            if (read_arguments(calls, {}) if syntax.is_typed_by_schema else calls) == (_PROBE,):
                return name
        shorter = _END_OF_TURN.sub("", text)
        if shorter == text:
            return None
        text = shorter


def _written_turns(tokenizer: "PreTrainedTokenizerBase", calls: Sequence[ToolCall]) -> Iterator[str]:
    """What the chat template writes for an assistant's calls, in each way in which it takes them."""
    if not tokenizer.chat_template:
        return
    user = {"role": "user", "content": "?"}
    ways = [(ids, content, text) for ids in call_ids(calls) for content in ("", None) for text in (False, True)]
    for ids, content, as_text in ways:
        messages: list[dict[str, Any]] = [user, {"role": "assistant", "content": content, "tool_calls": [
            {"type": "function", "id": call_id, "function": {
                "name": call.name, "arguments": json.dumps(call.arguments) if as_text else call.arguments}}
            for call_id, call in zip(ids, calls, strict=True)
        ]}]  # fmt: skip
        try:
            asked = str(tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True))
            full = str(tokenizer.apply_chat_template(messages, tokenize=False))
        except Exception:
            continue  # a template may refuse a conversation with any error of its own
        same = next((at for at, (a, b) in enumerate(zip(asked, full, strict=False)) if a != b), len(asked))
        if full.rfind("<", 0, same) > full.rfind(">", 0, same):
            same = full.rfind("<", 0, same)  # not in the middle of a tag
        turn = full[same:]
        if all(call.name in turn for call in calls):
            start, end = find_think_tags(tokenizer) or ("<think>", "</think>")
            split = split_completion(turn, "optional", asked.rstrip().endswith(start.rstrip()), start, end)
            yield turn if split.reason else split.answer
