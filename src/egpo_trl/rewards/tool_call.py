"""The strict binary reward of EGPO (section 4.1): the template is kept and the calls are right, or the reward is 0."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..rollouts.policy import Policy
from ..tool_calls.bfcl_matching import bfcl_difference
from ..tool_calls.calls import Answer, State, ToolCall, parse_reference, parse_tools
from ..tool_calls.completions import SYNTAXES, CompletionReader
from ..tool_calls.matching import Difference, Schema, compare_calls, exact_difference
from ..tool_calls.syntaxes import SYNTAX_BY_NAME
from ..tool_calls.template_syntax import find_turn_format
from ..tool_calls.thinking import THINKING_MODES
from .earnable import no_thought, unearnable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

COMPARISONS: Mapping[str, Difference] = {"exact": exact_difference, "bfcl": bfcl_difference}

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


class Verdict(NamedTuple):
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


class _Row(NamedTuple):
    """What a row asks for: reference calls, schemas by function name, and the names as the model sees them."""

    wanted: tuple[ToolCall, ...]
    schemas: Mapping[str, Schema]
    names: tuple[str, ...]


def _read_row(reference: Any, tools: Any, dots: bool) -> _Row | str:
    """A row, or the reason why it cannot be read."""
    try:
        wanted = parse_reference(reference)
    except (ValueError, TypeError):
        return "invalid_reference"
    try:
        schemas = parse_tools(tools)
    except (ValueError, TypeError):
        return "invalid_tools"
    if not dots:
        return _Row(wanted, schemas, tuple(schemas))
    plain = {name.replace(".", "_"): schema for name, schema in schemas.items()}
    return _Row(_without_dots(wanted), plain, tuple({**schemas, **plain}))


_parse_row = lru_cache(maxsize=256)(_read_row)  # the rollouts of a group share their row


def _without_dots(calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(call.name.replace(".", "_"), call.arguments) for call in calls)


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
            What the model writes: `"hermes"`, `"pythonic"`, `"json"`, `"harmony"` (gpt-oss), `"kimi"`, … (one of
            [`SYNTAXES`], see docs/reward.md), `"native"` (the tokenizer's own response template), or `"auto"`: what the
            tokenizer's chat template asks for. Before [`bind`], `"auto"` reads an answer that starts with `[` as pythonic
            and any other as Hermes.
        comparison (`str`, *optional*, defaults to `"exact"`):
            `"exact"`: the reference calls themselves. `"bfcl"`: each argument of the reference is a list of acceptable
            values, compared by the rules of BFCL's checker for Python.
        thinking (`str`, *optional*):
            `"required"`, `"optional"` or `"off"`: whether a completion must, may or must not have a think block. By
            default [`bind`] chooses: `"off"` where the chat template is rendered with `enable_thinking=False`, else
            `"required"`, which also holds before it.
        think_tags (`tuple[str, str]`, *optional*):
            Opening and closing tag of the chain of thought. By default those of the syntax, or what [`bind`] finds in the
            tokenizer or its chat template, or else `<think>` and `</think>`.
        think_prefilled (`bool`, *optional*):
            Whether prompts end with the opening tag. By default it is read off each prompt that is a string, and off
            the chat template by [`bind`].
        allow_text (`bool`, *optional*, defaults to `False`):
            Whether an answer may contain text next to the calls.
        dots_as_underscores (`bool`, *optional*, defaults to `False`):
            Whether `a.b` and `a_b` are the same function name, for models whose provider forbids dots.
        generation_prompt (`str`, *optional*):
            What the chat template writes before a completion. Set by [`bind`].
        tokenizer ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Set by [`bind`]: special tokens that the text of a completion has lost then count.
        stop_token_ids (`tuple[int, ...]`, *optional*):
            Token ids that end a completion beside the tokenizer's end-of-sequence token. Set by [`bind`].

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
    comparison: str = "exact"
    thinking: str | None = None
    think_tags: tuple[str, str] | None = None
    think_prefilled: bool | None = None
    allow_text: bool = False
    dots_as_underscores: bool = False
    generation_prompt: str = ""
    tokenizer: "PreTrainedTokenizerBase | None" = None
    stop_token_ids: tuple[int, ...] = ()

    __name__ = "tool_call_reward"  # what TRL calls its metrics

    def __post_init__(self) -> None:
        if self.syntax not in (*SYNTAXES, "auto"):
            raise ValueError(f"syntax must be one of {(*SYNTAXES, 'auto')}, got {self.syntax!r}.")
        if self.comparison not in COMPARISONS:
            raise ValueError(f"comparison must be one of {tuple(COMPARISONS)}, got {self.comparison!r}.")
        if self.thinking is not None and self.thinking not in THINKING_MODES:
            raise ValueError(f"thinking must be one of {THINKING_MODES}, got {self.thinking!r}.")
        if self.think_tags is not None and (len(self.think_tags) != 2 or not all(self.think_tags)):
            raise ValueError(f"think_tags must be an opening and a closing tag, got {self.think_tags!r}.")

    required_columns: ClassVar[tuple[str, ...]] = ("reference",)

    @property
    def reads_reasoning(self) -> bool:
        """Whether the response template of the native syntax says where the chain of thought is."""
        return self.syntax == "native" and self._reader.reads_reasoning

    @property
    def has_plain_reference(self) -> bool:
        """Whether references are calls as they are to be made, not lists of acceptable values or other names."""
        return self.comparison == "exact" and not self.dots_as_underscores

    def row_problem(self, row: Mapping[str, Any], policy: Policy) -> tuple[str, str] | None:
        """Why the reference of a row, written in this reward's syntax, does not earn 1.0; for a bound reward."""
        return no_thought(self, row, policy) or unearnable(self, row, row["reference"])

    def for_policy(self, policy: Policy) -> "ToolCallReward":
        """A copy bound to the policy of a trainer, see [`bind`]."""
        return self.bind(policy.tokenizer, policy.chat_template_kwargs, policy.think_tags, policy.stop_token_ids)

    def bind(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        chat_template_kwargs: Mapping[str, Any] | None = None,
        think_tags: Sequence[str] | None = None,
        stop_token_ids: Sequence[int] = (),
    ) -> "ToolCallReward":
        """A copy whose open options are taken from a tokenizer and its chat template. [`EGPOTrainer`] calls this."""
        turn = find_turn_format(tokenizer, chat_template_kwargs, self.syntax, think_tags or self.think_tags)
        bound = replace(
            self,
            syntax=turn.syntax,
            thinking=self.thinking or ("off" if turn.thinking_off else "required"),
            think_tags=turn.think_tags,
            think_prefilled=turn.think_prefilled if self.think_prefilled is None else self.think_prefilled,
            generation_prompt=turn.generation_prompt,
            tokenizer=tokenizer,
            stop_token_ids=tuple(stop_token_ids),
        )
        bound._reader  # noqa: B018  # raises here, not in the first training step
        return bound

    @property
    def tags(self) -> tuple[str, str]:
        """Think tags of the completions that this reward reads."""
        own = SYNTAX_BY_NAME[self.syntax].think_tags if self.syntax in SYNTAX_BY_NAME else None
        return self.think_tags or own or ("<think>", "</think>")

    @cached_property
    def _reader(self) -> CompletionReader:
        return CompletionReader(
            syntax=self.syntax,
            thinking=self.thinking or "required",
            think_tags=self.tags,
            think_prefilled=self.think_prefilled,
            allow_text=self.allow_text,
            generation_prompt=self.generation_prompt,
            tokenizer=self.tokenizer,
            stop_token_ids=self.stop_token_ids,
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
                Token ids of the completion, which count once a tokenizer is bound.

        Returns:
            [`Verdict`]:
                Score, reason, state and calls.
        """
        verdict = self._judge(completion, reference, tools, prompt, token_ids)
        return verdict._replace(calls=copy.deepcopy(verdict.calls))  # the reader remembers its own

    def _judge(self, completion: Any, reference: Any, tools: Any, prompt: Any, token_ids: Any) -> Verdict:
        cached = isinstance(reference, str) and (tools is None or isinstance(tools, str))
        row = (_parse_row if cached else _read_row)(reference, tools, self.dots_as_underscores)
        if isinstance(row, str):
            return Verdict(0.0, row, State.MALFORMED)
        wanted, schemas, names = row
        answer = self._reader.read(completion, prompt, token_ids, names, tools)
        calls = _without_dots(answer.calls) if self.dots_as_underscores else answer.calls
        reason = answer.reason
        if answer.state is State.TEXT:
            reason = "text_instead_of_call" if wanted else None
        elif answer.state is State.CALL:
            reason = "call_instead_of_text"
            if wanted:
                reason = compare_calls(calls, wanted, schemas, COMPARISONS[self.comparison])
        if reason is None:
            return Verdict(1.0, "correct", answer.state, answer.calls)
        return Verdict(0.0, reason, answer.state, answer.calls)

    def write(self, reference: Any, text: str = "", thought: str = "") -> str:
        """
        Write the completion that a reference asks for, in the syntax of this reward.

        Args:
            reference (`str` or `list`):
                Reference calls; an empty list where text is right.
            text (`str`, *optional*):
                Text of an answer without calls.
            thought (`str`, *optional*):
                Chain of thought.

        Returns:
            `str`:
                The completion, without the end of the turn.

        Raises:
            ValueError: If the reference is malformed, or the chat template does not write calls.
        """
        return self._reader.write(parse_reference(reference), text, thought)

    def inner_end(self, text: str) -> str | None:
        """The end of a turn that a completion has in its middle, where generation would stop; once a tokenizer is bound."""
        return self._reader.inner_end(text)

    def read_turn(
        self, message: Mapping[str, Any], token_ids: Any = None, names: Sequence[str] = (), tools: Any = None
    ) -> Answer:
        """Read one turn of a rollout as [`judge`] reads a completion."""
        return self._reader.read([message], None, token_ids, names, tools)

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
            self._judge(completion, wanted, offered, prompt, ids)
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


tool_call_reward = ToolCallReward()
