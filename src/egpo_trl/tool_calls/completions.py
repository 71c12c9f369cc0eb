"""Reads completions (text, messages or token ids) into an [`~egpo_trl.tool_calls.calls.Answer`]."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from .argument_types import read_arguments
from .calls import MAX_CHARACTERS, Answer, InvalidJSON, State, ToolCall, load_json, parse_tools
from .fragments import read_text
from .native import REASONING_FIELDS, NativeReader, find_response_template, parsed_call
from .syntaxes import SYNTAX_BY_NAME
from .template_syntax import write_by_template
from .thinking import split_completion

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SYNTAXES = (*SYNTAX_BY_NAME, "native")

# What ends a turn in released models; it is not text, wherever TRL leaves it.
_ENDS_OF_TURN = (
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|eot|>", "<|eom|>", "</s>", "<eos>",
    "<|end|>", "<|return|>", "<|call|>", "<|observation|>", "<|user|>", "<end_of_turn>", "<turn|>", "<|END_OF_TURN_TOKEN|>",
    "<｜end▁of▁sentence｜>", "<end_of_sentence>", "[e~[", "<seed:eos>", "<SPECIAL_12>",
)  # fmt: skip


def _read_plain(syntax: str, text: str, names: tuple[str, ...], allow_text: bool) -> Answer:
    return SYNTAX_BY_NAME[syntax].read(text, names, allow_text)


@lru_cache(maxsize=256)
def _schemas_of(tools: str) -> Mapping[str, Any]:
    return parse_tools(tools)


_MAX_REPEATED = 2000  # characters of an answer that is worth remembering
_read_repeated = lru_cache(maxsize=512)(_read_plain)  # the rollouts of a group often give the same answer


@dataclass(frozen=True)
class CompletionReader:
    """Reads completions in every shape that TRL hands to a reward."""

    syntax: str = "auto"
    thinking: str = "required"
    think_tags: tuple[str, str] = ("<think>", "</think>")
    think_prefilled: bool | None = None
    allow_text: bool = False
    generation_prompt: str = ""
    tokenizer: "PreTrainedTokenizerBase | None" = None
    stop_token_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.syntax == "native" and self.tokenizer is not None and self._native is None:
            raise ValueError(
                f"syntax='native' needs a response template, and {self.tokenizer.name_or_path!r} has none, nor does TRL "
                "know its chat template. Set tokenizer.response_template, or name another syntax."
            )

    @cached_property
    def _native(self) -> NativeReader | None:
        template = find_response_template(self.tokenizer) if self.tokenizer is not None else None
        return None if template is None else NativeReader(template, self.thinking)

    @property
    def reads_reasoning(self) -> bool:
        """Whether the response template of the native syntax says where the chain of thought is."""
        return self._native is not None and self._native.reads_reasoning

    @cached_property
    def _checks_think_tags(self) -> bool:
        return self.syntax in SYNTAX_BY_NAME and SYNTAX_BY_NAME[self.syntax].checks_think_tags

    def read(
        self,
        completion: Any,
        prompt: Any = None,
        token_ids: Any = None,
        names: Collection[str] = (),
        tools: Any = None,
    ) -> Answer:
        """Read one completion."""
        ids: Any = token_ids if self.tokenizer is not None else None
        if isinstance(completion, str):
            if ids is None:
                return self._read_content(completion, prompt, names, tools)
            turns: Any = [{"role": "assistant", "content": completion}]
        else:
            turns = completion if isinstance(completion, (list, tuple)) else []
            turns = [turn for turn in turns if isinstance(turn, dict) and turn.get("role") == "assistant"]
        if not turns:
            return Answer(State.MALFORMED, reason="empty_answer")
        if len(turns) > 1:
            answer = _join([self._read_turn(turn, prompt, names, tools) for turn in turns])
            truncated = ids is not None and len(ids) > 0 and ids[-1] not in self._ends
            return Answer(State.MALFORMED, reason="truncated") if truncated else answer
        if ids is None:
            return self._read_turn(turns[0], prompt, names, tools)
        if self._must_decode(turns[0], ids):
            answer = self._read_content(self.decode(ids), prompt, names, tools, is_decoded=True)
        else:
            answer = self._read_turn(turns[0], prompt, names, tools)
        if answer.state is not State.CALL and self._ends.isdisjoint(ids):
            return Answer(State.MALFORMED, reason="truncated")
        return answer

    def read_ids(self, token_ids: Sequence[int], tools: Any = None) -> Answer:
        """Reads a turn from its tokens, whatever TRL made of it."""
        return self._read_content(self.decode(token_ids), None, (), tools, is_decoded=True)

    def _read_turn(self, turn: Mapping[str, Any], prompt: Any, names: Collection[str], tools: Any) -> Answer:
        content = turn.get("content")
        if not isinstance(content, str):
            content = text_of(content)
        if len(turn) == 2:  # role and content
            return self._read_content(content, prompt, names, tools)
        thought = next((turn[key] for key in REASONING_FIELDS if turn.get(key)), None)
        if thought is None and not turn.get("tool_calls"):
            return self._read_content(content, prompt, names, tools)
        # TRL parsed the completion with the tokenizer's response template
        thought = text_of(thought)
        if self.thinking == "required" and not thought.strip():
            return Answer(State.MALFORMED, reason="no_think_block")
        if self.thinking == "off" and thought.strip():
            return Answer(State.MALFORMED, reason="unexpected_think_block")
        if any(tag in thought or tag in content for tag in self.think_tags):
            return Answer(State.MALFORMED, reason="several_think_blocks")
        if turn.get("tool_calls"):
            return self._parsed_calls(turn["tool_calls"], content, names)
        if self._checks_think_tags:
            return read_text(content, names)  # the parser has taken the frame of the message off
        return self._read_answer(content, names, tools)

    def _read_content(
        self, content: str, prompt: Any, names: Collection[str], tools: Any, is_decoded: bool = False
    ) -> Answer:
        if self.syntax == "native" and self._native is not None and self._native.reads_reasoning:
            return self._read_native(content, names, tools)
        if not is_decoded and (content[-2:] in self._last_letters or content[-1:].isspace()):
            content = _without_end(content, self._ends_of_turn)
        start, end = self.think_tags
        prefilled = self.think_prefilled
        if prefilled is None:
            prefilled = isinstance(prompt, str) and prompt.rstrip().endswith(start)
        thought, answer_text, reason = split_completion(content, self.thinking, prefilled, start, end)
        if reason is not None:
            return Answer(State.MALFORMED, reason=reason)
        if len(answer_text) > MAX_CHARACTERS and len(answer_text.strip()) > MAX_CHARACTERS:
            return Answer(State.MALFORMED, reason="malformed_call")
        answer = self._read_answer(answer_text, names, tools)
        if (answer.state is State.CALL and not self.allow_text) or self._checks_think_tags:
            return answer  # its tags are inside strings
        if answer.state is State.CALL:
            strings = json.dumps([call.arguments for call in answer.calls], ensure_ascii=False)
            stray = any(answer_text.count(tag) > strings.count(tag) for tag in self.think_tags)
            return Answer(State.MALFORMED, reason="several_think_blocks") if stray else answer
        is_text = answer.state is State.TEXT
        if (start in answer_text and (is_text or thought is not None)) or (is_text and end in answer_text):
            return Answer(State.MALFORMED, reason="several_think_blocks")
        return answer

    def _read_answer(self, text: str, names: Collection[str], tools: Any) -> Answer:
        if self.syntax == "native" and self._native is not None:
            if self._native.reads_reasoning:  # of a message whose reasoning was cut out: what is left must be text
                return read_text(text, names)
            return self._read_native(text, names, tools)
        syntax = self.syntax
        if syntax not in SYNTAX_BY_NAME:  # "auto", or "native" before it is bound
            syntax = "pythonic" if text.lstrip().startswith(("[", "<answer>")) else "hermes"
        read = _read_repeated if len(text) <= _MAX_REPEATED else _read_plain
        answer = read(syntax, text, tuple(names), self.allow_text)
        if answer.calls and SYNTAX_BY_NAME[syntax].is_typed_by_schema:
            return answer._replace(calls=read_arguments(answer.calls, _parameters(tools)))
        return answer

    def _read_native(self, text: str, names: Collection[str], tools: Any) -> Answer:
        assert self._native is not None
        arguments = (self.generation_prompt, _schemas(tools), names, self.allow_text)
        answer = self._native.read(text, *arguments)
        if answer.state is not State.MALFORMED:
            return answer
        shorter = _without_end(text, self._ends_of_turn)  # an end unknown to the response template is not text
        is_one = shorter != text and not shorter.rstrip().endswith(self._ends_of_turn)
        again = self._native.read(shorter, *arguments) if is_one else answer
        return answer if again.state is State.MALFORMED else again

    def write(self, calls: Sequence[ToolCall], text: str = "", thought: str = "") -> str:
        """Write a completion that is read as these calls, or as this text where there are none."""
        syntax = SYNTAX_BY_NAME.get("pythonic" if self.syntax == "auto" else self.syntax)
        if syntax is not None:
            answer = syntax.write(calls) if calls else syntax.write_text(text)
        else:
            assert self.tokenizer is not None
            answer = write_by_template(self.tokenizer, calls) if calls else text
        if self.thinking == "off" or (self.thinking == "optional" and not self.think_prefilled and not thought):
            return answer
        start, end = self.think_tags
        follows = "<|start|>assistant" if self.syntax == "harmony" else ""
        return f"{'' if self.think_prefilled else start}{thought}{end}{follows}{answer}"

    def _parsed_calls(self, tool_calls: Any, content: str, names: Collection[str]) -> Answer:
        if content.strip() and (not self.allow_text or read_text(content, names).state is not State.TEXT):
            return Answer(State.MALFORMED, reason="text_beside_calls")
        calls = [parsed_call(item) for item in tool_calls] if isinstance(tool_calls, list) else [None]
        whole = tuple(call for call in calls if call is not None)
        if len(whole) != len(calls):
            return Answer(State.MALFORMED, reason="malformed_call")
        return Answer(State.CALL, whole)

    # Token ids

    @cached_property
    def _ends(self) -> frozenset[int]:
        eos = None if self.tokenizer is None else self.tokenizer.eos_token_id
        return frozenset(end for end in (eos, *self.stop_token_ids) if end is not None)

    @cached_property
    def _text_may_differ(self) -> bool:
        """Whether TRL's text of a completion may lack more than special tokens other than tags."""
        assert self.tokenizer is not None
        return (
            self.syntax == "native"
            or getattr(self.tokenizer, "response_template", None) is not None
            or bool(getattr(self.tokenizer, "clean_up_tokenization_spaces", False))
        )

    @cached_property
    def _special(self) -> frozenset[int]:
        assert self.tokenizer is not None
        added = self.tokenizer.added_tokens_decoder
        special = [token_id for token_id, token in added.items() if token.special]
        return frozenset((*self.tokenizer.all_special_ids, *special)) - self._ends

    def _must_decode(self, turn: Mapping[str, Any], token_ids: Sequence[int]) -> bool:
        """Whether the text in a turn is not what the policy wrote: TRL decodes without special tokens."""
        assert self.tokenizer is not None
        if self._text_may_differ or "tool_calls" in turn or not self._special.isdisjoint(token_ids):
            return True
        content = turn.get("content")
        return not isinstance(content, str) or any(end in content for end in self._end_texts)

    @cached_property
    def _end_texts(self) -> list[str]:
        assert self.tokenizer is not None
        return [text for text in self.tokenizer.convert_ids_to_tokens(sorted(self._ends)) if text]

    def inner_end(self, text: str) -> str | None:
        """The token at which a turn ends before the end of a text, if there is one."""
        ends = [] if self.tokenizer is None else [end for end in self._end_texts if end not in self.think_tags]
        return next((end for end in ends if end in text.rstrip().removesuffix(end)), None)

    @cached_property
    def _ends_of_turn(self) -> tuple[str, ...]:
        own = [] if self.tokenizer is None else self._end_texts
        return tuple(end for end in (*own, *_ENDS_OF_TURN) if end != self.think_tags[1])

    @cached_property
    def _last_letters(self) -> frozenset[str]:
        """Last two characters of the tokens that end a turn."""
        return frozenset(end[-2:] for end in self._ends_of_turn)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text up to the end-of-turn token, special tokens included; with that token for the native syntax."""
        assert self.tokenizer is not None
        ids = list(token_ids)
        stop = next((position for position, token_id in enumerate(ids) if token_id in self._ends), len(ids))
        kept = ids[: stop + 1] if self.syntax == "native" else ids[:stop]
        return str(self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _join(answers: Sequence[Answer]) -> Answer:
    """The answers of all turns of a rollout as one."""
    broken = next((answer for answer in answers if answer.state is State.MALFORMED), None)
    calls = tuple(call for answer in answers for call in answer.calls)
    return broken or (Answer(State.CALL, calls) if calls else Answer(State.TEXT))


def text_of(content: Any) -> str:
    """Text of a message's content, `""` for what is neither text nor content blocks with text."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def _without_end(text: str, ends: tuple[str, ...]) -> str:
    """A text without what ends the turn."""
    stripped = text.rstrip()
    if not stripped.endswith(ends):
        return text
    return stripped.removesuffix(next(end for end in ends if stripped.endswith(end)))


def _parameters(tools: Any) -> Mapping[str, Any]:
    """Parameter schemas by function name, dots as they are and as underscores; none where the tools cannot be read."""
    try:
        schemas = _schemas_of(tools) if isinstance(tools, str) else parse_tools(tools)
    except (ValueError, TypeError):
        return {}
    return {**{name.replace(".", "_"): schema for name, schema in schemas.items()}, **schemas}


def _schemas(tools: Any) -> list[Any] | None:
    try:
        value = load_json(tools) if isinstance(tools, str) else tools
    except InvalidJSON:
        return None
    return value if isinstance(value, list) else None
