"""The strict binary reward of EGPO (section 4.1): the template is kept and the calls are right, or the reward is 0."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .tool_calls.calls import Answer, State, ToolCall, parse_reference, parse_tools
from .tool_calls.hermes import read_hermes
from .tool_calls.matching import compare_exact
from .tool_calls.pythonic import read_pythonic
from .tool_calls.thinking import THINKING_MODES, split_completion

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SYNTAXES: Mapping[str, Callable[[str, Collection[str]], Answer]] = {"hermes": read_hermes, "pythonic": read_pythonic}

REASONS = (
    "correct",
    "invalid_reference",
    "invalid_tools",
    "truncated",
    "no_think_block",
    "unclosed_think_block",
    "several_think_blocks",
    "unexpected_think_block",
    "empty_answer",
    "malformed_call",
    "text_beside_calls",
    "call_instead_of_text",
    "text_instead_of_call",
    "unknown_function",
    "missing_call",
    "extra_call",
    "wrong_function",
    "missing_argument",
    "unexpected_argument",
    "wrong_type",
    "wrong_value",
)


@dataclass(frozen=True)
class Verdict:
    """
    What a completion is worth.

    Args:
        score (`float`):
            1.0 or 0.0.
        reason (`str`):
            `"correct"`, or what failed first; one of [`REASONS`].
        state ([`State`]):
            What the answer is.
        calls (`tuple[ToolCall, ...]`):
            Calls of the answer.
    """

    score: float
    reason: str
    state: State
    calls: tuple[ToolCall, ...] = ()


def syntax_of_template(chat_template: Any) -> str:
    """
    Syntax of tool calls that a chat template asks for.

    Args:
        chat_template (`str`, *optional*):
            Jinja source of the template.

    Returns:
        `str`:
            `"hermes"` if it writes calls in `<tool_call>` tags, else `"pythonic"`.

    Raises:
        ValueError: If it writes XML parameters inside the tags, a syntax that has no reader here.
    """
    template = chat_template if isinstance(chat_template, str) else ""
    if "<function=" in template:
        raise ValueError(
            "The chat template writes calls as <function=…><parameter=…>, which this version does not read. Use the "
            "prompt style 'paper' with syntax='pythonic'."
        )
    return "hermes" if "<tool_call>" in template else "pythonic"


@dataclass(frozen=True)
class ToolCallReward:
    """
    Strict binary reward for tool calls (EGPO, section 4.1, Eq. 3), as a reward function for TRL.

    A completion is worth 1.0 if it keeps the reasoning template and its answer is right, else 0.0. For a reference with
    calls the answer must be those calls and nothing else; for an empty reference it must be text without any piece of a
    call. The function never raises, whatever the completion; each zero has a reason (one of [`REASONS`]), in the column
    `reason` of the completions table and, as shares, in the metrics `reason/…`.

    Args:
        syntax (`str`, *optional*, defaults to `"auto"`):
            `"hermes"`, `"pythonic"`, or `"auto"`: what the tokenizer's chat template asks for. Before [`bind`], `"auto"`
            reads an answer that starts with `[` as pythonic and any other as Hermes.
        thinking (`str`, *optional*):
            `"required"`, `"optional"` or `"off"`: whether a completion must, may or must not have a think block. By
            default [`bind`] chooses: `"off"` where the chat template is rendered with `enable_thinking=False`, else
            `"required"`, which also holds before it.
        think_tags (`tuple[str, str]`, *optional*, defaults to `("<think>", "</think>")`):
            Opening and closing tag of the chain of thought.
        think_prefilled (`bool`, *optional*):
            Whether prompts end with the opening tag. By default it is read off each prompt that is a string, and off
            the chat template by [`bind`].
        tokenizer ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Set by [`bind`]: completions are then read from their token ids, so tags that are special tokens count.

    Raises:
        ValueError: If an option has an unknown value.

    Example:

    ```python
    >>> reward = ToolCallReward(syntax="pythonic")
    >>> reward(
    ...     prompts=["…"],
    ...     completions=["<think>the user wants f</think>[f(a=1)]"],
    ...     reference=['[{"name": "f", "arguments": {"a": 1}}]'],
    ...     tools=['[{"name": "f", "parameters": {}}]'],
    ... )
    [1.0]
    ```
    """

    syntax: str = "auto"
    thinking: str | None = None
    think_tags: tuple[str, str] = ("<think>", "</think>")
    think_prefilled: bool | None = None
    tokenizer: "PreTrainedTokenizerBase | None" = None

    __name__ = "tool_call_reward"  # what TRL calls its metrics

    def __post_init__(self) -> None:
        if self.syntax not in (*SYNTAXES, "auto"):
            raise ValueError(f"syntax must be one of {(*SYNTAXES, 'auto')}, got {self.syntax!r}.")
        if self.thinking is not None and self.thinking not in THINKING_MODES:
            raise ValueError(f"thinking must be one of {THINKING_MODES}, got {self.thinking!r}.")
        if len(self.think_tags) != 2 or not all(self.think_tags):
            raise ValueError(f"think_tags must be an opening and a closing tag, got {self.think_tags!r}.")

    def bind(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        chat_template_kwargs: Mapping[str, Any] | None = None,
        think_tags: Sequence[str] | None = None,
    ) -> "ToolCallReward":
        """
        A copy whose open options are taken from a tokenizer and its chat template. [`EGPOTrainer`] calls this.

        Args:
            tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
                Tokenizer of the policy.
            chat_template_kwargs (`Mapping`, *optional*):
                Arguments that prompts are rendered with.
            think_tags (`Sequence[str]`, *optional*):
                Opening and closing tag, where they are not the default ones.

        Returns:
            [`ToolCallReward`]:
                The bound reward.

        Raises:
            ValueError: If `syntax="auto"` and the template asks for a syntax that has no reader.
        """
        template_kwargs = dict(chat_template_kwargs or {})
        start, end = think_tags or self.think_tags
        prefilled = self.think_prefilled
        if prefilled is None and tokenizer.chat_template:
            prompt = tokenizer.apply_chat_template(
                [{"role": "user", "content": "?"}], add_generation_prompt=True, tokenize=False, **template_kwargs
            )
            prefilled = str(prompt).rstrip().endswith(start)
        off = template_kwargs.get("enable_thinking") is False
        return replace(
            self,
            syntax=syntax_of_template(tokenizer.chat_template) if self.syntax == "auto" else self.syntax,
            thinking=self.thinking or ("off" if off else "required"),
            think_tags=(start, end),
            think_prefilled=prefilled,
            tokenizer=tokenizer,
        )

    def judge(
        self, completion: Any, reference: Any, tools: Any = None, prompt: Any = None, token_ids: Any = None
    ) -> Verdict:
        """
        Judge one completion.

        Args:
            completion (`str` or `list[dict]`):
                Text, or messages as TRL hands them to a reward.
            reference (`str` or `list`):
                Reference calls; an empty list where text is right.
            tools (`str` or `list`, *optional*):
                Function schemas of the row.
            prompt (`str` or `list[dict]`, *optional*):
                Prompt of the completion.
            token_ids (`Sequence[int]`, *optional*):
                Token ids of the completion, used instead of its text once a tokenizer is bound.

        Returns:
            [`Verdict`]:
                Score, reason, state and calls.
        """
        try:
            wanted = parse_reference(reference)
        except (ValueError, TypeError):
            return Verdict(0.0, "invalid_reference", State.MALFORMED)
        try:
            schemas = parse_tools(tools)
        except (ValueError, TypeError):
            return Verdict(0.0, "invalid_tools", State.MALFORMED)
        answer = self._read(completion, prompt, token_ids, tuple(schemas))
        reason = answer.reason
        if answer.state is State.TEXT:
            reason = "text_instead_of_call" if wanted else None
        elif answer.state is State.CALL:
            reason = compare_exact(answer.calls, wanted, schemas) if wanted else "call_instead_of_text"
        if reason is None:
            return Verdict(1.0, "correct", answer.state, answer.calls)
        return Verdict(0.0, reason, answer.state, answer.calls)

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[Any],
        tools: Sequence[Any] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        """Rewards of a batch; the signature is that of TRL's reward functions."""
        nothing = [None] * len(completions)
        verdicts = [
            self.judge(completion, wanted, offered, prompt, ids)
            for completion, wanted, offered, prompt, ids in zip(
                completions, reference, tools or nothing, prompts, completion_ids or nothing, strict=True
            )
        ]
        if log_extra is not None:
            log_extra("reason", [verdict.reason for verdict in verdicts])
        if log_metric is not None and verdicts:
            counts = Counter(verdict.reason for verdict in verdicts)
            for reason in REASONS:
                log_metric(f"reason/{reason}", counts[reason] / len(verdicts))
        return [verdict.score for verdict in verdicts]

    def _read(self, completion: Any, prompt: Any, token_ids: Any, names: tuple[str, ...]) -> Answer:
        if isinstance(completion, str):
            turns: Sequence[Any] = [{"role": "assistant", "content": completion}]
        else:
            turns = completion if isinstance(completion, (list, tuple)) else []
        turns = [turn for turn in turns if isinstance(turn, Mapping) and turn.get("role") == "assistant"]
        if not turns:
            return Answer(State.MALFORMED, reason="empty_answer")
        truncated = False
        if self.tokenizer is not None and token_ids is not None and len(turns) == 1:
            text, truncated = self._decode(token_ids)
            turns = [{"role": "assistant", "content": text}]
        answers = [self._read_turn(turn, prompt, names) for turn in turns]
        broken = next((answer for answer in answers if answer.state is State.MALFORMED), None)
        if broken is not None:
            return replace(broken, reason="truncated") if truncated else broken
        calls = tuple(call for answer in answers for call in answer.calls)  # of all turns of a rollout together
        return Answer(State.CALL, calls) if calls else Answer(State.TEXT)

    def _read_turn(self, turn: Mapping[str, Any], prompt: Any, names: tuple[str, ...]) -> Answer:
        content = _text_of(turn.get("content"))
        thought = turn.get("reasoning_content")
        if turn.get("tool_calls") or thought:  # TRL parsed the completion with the tokenizer's response template
            if self.thinking in (None, "required") and not thought:
                return Answer(State.MALFORMED, reason="no_think_block")
            if self.thinking == "off" and thought:
                return Answer(State.MALFORMED, reason="unexpected_think_block")
            if turn.get("tool_calls"):
                return _parsed_calls(turn["tool_calls"], content)
            return self._reader(content)(content, names)
        start, end = self.think_tags
        prefilled = self.think_prefilled
        if prefilled is None:
            prefilled = isinstance(prompt, str) and prompt.rstrip().endswith(start)
        split = split_completion(content, self.thinking or "required", prefilled, start, end)
        if split.reason is not None:
            return Answer(State.MALFORMED, reason=split.reason)
        answer = self._reader(split.answer)(split.answer, names)
        if answer.state is State.MALFORMED and split.thought is not None and start in split.answer:
            return replace(answer, reason="several_think_blocks")
        if answer.state is State.TEXT and (start in split.answer or end in split.answer):
            return Answer(State.MALFORMED, reason="several_think_blocks")
        return answer

    def _reader(self, text: str) -> Callable[[str, Collection[str]], Answer]:
        if self.syntax != "auto":
            return SYNTAXES[self.syntax]
        return read_pythonic if text.lstrip().startswith(("[", "<answer>")) else read_hermes

    def _decode(self, token_ids: Sequence[int]) -> tuple[str, bool]:
        """Text up to the end-of-turn token, special tokens included, and whether that token is missing."""
        assert self.tokenizer is not None
        ids = list(token_ids)
        ends = {self.tokenizer.eos_token_id, self.tokenizer.pad_token_id}
        stop = next((position for position, token_id in enumerate(ids) if token_id in ends), None)
        text = self.tokenizer.decode(ids[:stop], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text), stop is None


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str))


def _parsed_calls(tool_calls: Any, content: str) -> Answer:
    if content.strip():
        return Answer(State.MALFORMED, reason="text_beside_calls")
    calls = []
    for item in tool_calls if isinstance(tool_calls, list) else [None]:
        function = item.get("function") if isinstance(item, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        arguments = function.get("arguments") if isinstance(function, Mapping) else None
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return Answer(State.MALFORMED, reason="malformed_call")
        calls.append(ToolCall(name, arguments))
    return Answer(State.CALL, tuple(calls))


tool_call_reward = ToolCallReward()
