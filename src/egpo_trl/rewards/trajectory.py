"""The strict binary reward of rollouts with executed tools: BFCL's multi-turn criterion, the template in every turn."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..environments import ENVIRONMENTS
from ..environments.protocol import offered_schemas, tool_methods
from ..environments.replay import DEFAULT_LIMITS, Replay, parse_forbidden, parse_trajectory
from ..environments.replay import replay as replay_trajectory
from ..environments.trajectories import trajectory_problem
from ..rollouts.policy import Policy
from ..rollouts.tool_guard import ToolLimits
from ..tool_calls.calls import Answer, State, ToolCall, parse_tools
from ..tool_calls.completions import text_of
from ..tool_calls.matching import Schema, compare_calls, values_equal
from .earnable import no_thought, unearnable
from .tool_call import REASONS, ToolCallReward

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TRAJECTORY_REASONS = (*REASONS, "forbidden_call", "too_many_calls", "unfinished", "wrong_result", "wrong_state")


class TrajectoryVerdict(NamedTuple):
    """What a rollout is worth."""

    score: float
    reason: str
    step: int = 0
    answers: tuple[Answer, ...] = ()
    surplus: int = 0


class _Row(NamedTuple):
    """What a row asks for."""

    steps: tuple[tuple[ToolCall, ...], ...]
    tools: Any
    schemas: Mapping[str, Schema]
    offered: frozenset[str]
    forbidden: frozenset[str]
    expected: Replay


@dataclass(frozen=True)
class TrajectoryReward:
    """
    Strict binary reward for rollouts with executed tools, as a reward function for TRL.

    A rollout is worth 1.0 if every turn keeps the reasoning template and is either calls or text, it ends with a text,
    it calls no function that the row does not offer or forbids, it got the result of every call of the reference
    (BFCL's response check; in any order, and other calls may stand between), and it leaves the environment in the state
    in which the reference leaves it (BFCL's state check). Where the reference makes no call, because something is missing
    or no function fits, any call makes it worth 0.0.

    The reference is executed in a fresh environment. The function never raises, whatever the completion; each zero has a
    reason (one of [`TRAJECTORY_REASONS`]) and the step that failed, in the columns `reason` and `failed_step` of the
    completions table and, as shares, in the metrics `reason/…`.

    Rows need a `trajectory` (JSON string: for each step the list of its calls, an empty one for the last) and what the
    environment's `reset` reads; `environment` (its name), `tools` and `forbidden` (JSON list of function names that
    the row offers but that must not be called) are optional.

    Args:
        environments (`Mapping[str, Callable]` or `Callable`, *optional*):
            What the trainer takes as `environment_factory`; the shipped ones by default.
        calls ([`ToolCallReward`], *optional*):
            How turns are read: syntax, think block, text beside calls. Options that are open are taken from the
            tokenizer. Executed calls have one name, so `comparison` and `dots_as_underscores` do not apply.
        limits ([`ToolLimits`], *optional*):
            Limits of the reference's calls: seconds, and characters of a result. [`EGPOTrainer`] sets those of its
            config.
        shared_tools (`Sequence[str]`, *optional*):
            Names of tools that rows without `tools` offer beside the methods of their environment. [`EGPOTrainer`] sets
            those of its `tools`.
        max_extra_calls (`int`, *optional*):
            How many calls a rollout may make beyond those of the reference; more make it worth 0.0. By default any number,
            as BFCL has it, so that trying every argument pays. The metric `calls/surplus` shows the mean number either way.

    Raises:
        ValueError: If `max_extra_calls` is negative.

    Example:

    ```python
    >>> from egpo_trl import EGPOConfig, EGPOTrainer, TrajectoryReward
    >>> from egpo_trl.environments import ENVIRONMENTS

    >>> trainer = EGPOTrainer(
    ...     model="Qwen/Qwen3-0.6B",
    ...     reward_funcs=TrajectoryReward(ENVIRONMENTS),
    ...     environment_factory=dict(ENVIRONMENTS),
    ...     args=EGPOConfig("qwen3-egpo", max_tool_calling_iterations=8),
    ...     train_dataset=rows,
    ... )
    ```
    """

    environments: Any = field(default_factory=lambda: ENVIRONMENTS)
    calls: ToolCallReward = field(default_factory=ToolCallReward)
    limits: ToolLimits = DEFAULT_LIMITS
    shared_tools: Sequence[str] = ()
    max_extra_calls: int | None = None

    __name__ = "trajectory_reward"  # what TRL calls its metrics

    required_columns: ClassVar[tuple[str, ...]] = ("trajectory",)

    has_plain_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.max_extra_calls is not None and self.max_extra_calls < 0:
            raise ValueError(
                f"max_extra_calls must be at least 0, or None for any number, got {self.max_extra_calls}."
            )

    @property
    def syntax(self) -> str:
        """Syntax of the calls that are judged, and executed."""
        return self.calls.syntax

    def row_problem(self, row: Mapping[str, Any], policy: Policy) -> tuple[str, str] | None:
        """Why the trajectory of a row cannot be replayed, or a step of it cannot be written."""
        words = trajectory_problem(row, policy.environments or {})
        if words is not None:
            return "invalid_trajectory", words
        steps = parse_trajectory(row["trajectory"])
        environments = policy.environments or {}
        factory = environments[None if None in environments else row["environment"]]
        # A row may name its tools only: the schemas of the environment give arguments their types.
        row = {**row, "tools": json.dumps(offered_schemas(factory(), row.get("tools")))}
        written = (unearnable(self.calls, row, [call._asdict() for call in step]) for step in steps)
        return no_thought(self.calls, row, policy) or next(filter(None, written), None)

    def for_policy(self, policy: Policy) -> "TrajectoryReward":
        """A copy bound to the policy of a trainer, with the limits of its calls and the tools that all rows share."""
        if policy.environments is None:
            raise ValueError(
                "TrajectoryReward judges the state of environments. Hand the trainer an `environment_factory`, or reward "
                "single steps with ToolCallReward."
            )
        return self.bind(
            policy.tokenizer, policy.chat_template_kwargs, policy.think_tags, policy.stop_token_ids,
            policy.tool_limits, policy.shared_tools,
        )  # fmt: skip

    def bind(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        chat_template_kwargs: Mapping[str, Any] | None = None,
        think_tags: Sequence[str] | None = None,
        stop_token_ids: Sequence[int] = (),
        limits: ToolLimits | None = None,
        shared_tools: Sequence[str] | None = None,
    ) -> "TrajectoryReward":
        """
        A copy whose open options are taken from a tokenizer, see [`ToolCallReward.bind`], with the limits that the calls
        of a run have, and the tools that all its rows share.
        """
        calls = self.calls.bind(tokenizer, chat_template_kwargs, think_tags, stop_token_ids)
        shared = self.shared_tools if shared_tools is None else tuple(shared_tools)
        return replace(self, calls=calls, limits=limits or self.limits, shared_tools=shared)

    def judge(
        self,
        completion: Any,
        row: Mapping[str, Any],
        environment: Any,
        token_ids: Sequence[int] | None = None,
        tool_mask: Sequence[int] | None = None,
    ) -> TrajectoryVerdict:
        """
        Judge one rollout.

        Args:
            completion (`list[dict]` or `str`):
                Messages as TRL hands them to a reward: turns of the assistant and tool results.
            row (`Mapping[str, Any]`):
                The row.
            environment (`Any`):
                Its environment, in the state that the rollout left.
            token_ids (`Sequence[int]`, *optional*):
                Token ids of the completion, results included.
            tool_mask (`Sequence[int]`, *optional*):
                1 at tokens that the policy wrote. With it, and once a tokenizer is bound, turns are read from their
                tokens; without it from messages, where the parser has forgiven what it could.

        Returns:
            [`TrajectoryVerdict`]:
                Score, reason, step and answers.
        """
        return self._judge(completion, self._read_row(row, environment), environment, token_ids, tool_mask)

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        trajectory: Sequence[Any],
        environments: Sequence[Any],
        tool_mask: Sequence[Sequence[int]] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        trainer_state: Any = None,
        **columns: Any,
    ) -> list[float]:
        """Rewards of a batch; the signature is that of TRL's reward functions."""
        nothing = [None] * len(completions)
        columns = {"prompt": prompts, "trajectory": trajectory, **columns}
        read: dict[str, _Row | str] = {}  # the rollouts of a group share their row
        verdicts = []
        for at, (completion, environment, ids, mask) in enumerate(
            zip(completions, environments, completion_ids or nothing, tool_mask or nothing, strict=True)
        ):
            row = {name: values[at] for name, values in columns.items()}
            key = repr(row)
            if key not in read:
                read[key] = self._read_row(row, environment)
            verdicts.append(self._judge(completion, read[key], environment, ids, mask))
        if log_extra is not None:
            log_extra("reason", [verdict.reason for verdict in verdicts])
            log_extra("failed_step", [verdict.step for verdict in verdicts])
        if log_metric is not None and verdicts:
            counts = Counter(verdict.reason for verdict in verdicts)
            for reason in TRAJECTORY_REASONS:
                log_metric(f"reason/{reason}", counts[reason] / len(verdicts))
            log_metric("calls/surplus", sum(verdict.surplus for verdict in verdicts) / len(verdicts))
        return [verdict.score for verdict in verdicts]

    def _read_row(self, row: Mapping[str, Any], environment: Any) -> _Row | str:
        """What a row asks for, or the reason why it cannot be read."""
        try:
            schemas = parse_tools(row.get("tools"))
        except (ValueError, TypeError):
            return "invalid_tools"
        try:
            steps = parse_trajectory(row.get("trajectory"))
            forbidden = parse_forbidden(row.get("forbidden"))
            expected = replay_trajectory(self._factory(row, environment), row, self.limits)
        except Exception:  # an environment may refuse a row with any error
            return "invalid_reference"
        every = {*tool_methods(environment), *self.shared_tools}
        offered = frozenset(every if row.get("tools") is None else schemas)
        return _Row(steps, row.get("tools"), schemas, offered, forbidden, expected)

    def _factory(self, row: Mapping[str, Any], environment: Any) -> Callable[[], Any]:
        if not isinstance(self.environments, Mapping):
            factory: Callable[[], Any] = self.environments
            return factory
        name = row.get("environment")
        return self.environments[name] if name in self.environments else type(environment)

    def _judge(
        self, completion: Any, row: _Row | str, environment: Any, token_ids: Any, tool_mask: Any
    ) -> TrajectoryVerdict:
        if isinstance(row, str):
            return TrajectoryVerdict(0.0, row)
        messages = (
            completion if isinstance(completion, (list, tuple)) else [{"role": "assistant", "content": completion}]
        )
        messages = [message for message in messages if isinstance(message, dict)]
        turns = _turns(messages, token_ids, tool_mask)
        names = tuple(row.schemas)
        answers = tuple(self.calls.read_turn(message, ids, names, row.tools) for message, ids in turns)
        reason, step = self._difference(answers, messages, row, environment) or ("correct", 0)
        surplus = sum(len(answer.calls) for answer in answers) - sum(map(len, row.steps))
        return TrajectoryVerdict(float(reason == "correct"), reason, step, answers, max(0, surplus))

    def _difference(
        self, answers: Sequence[Answer], messages: Sequence[Mapping[str, Any]], row: _Row, environment: Any
    ) -> tuple[str, int] | None:
        """What failed first and in which step, or `None`."""
        if not answers:
            return "empty_answer", 1
        wants_calls = len(row.steps) > 1
        left = None if self.max_extra_calls is None else self.max_extra_calls + sum(map(len, row.steps))
        executed = _executed(messages)
        for at, answer in enumerate(answers, 1):
            if answer.state is State.MALFORMED:
                return answer.reason or "malformed_call", at
            if answer.state is State.TEXT and at < len(answers):
                return "text_instead_of_call", at
            if answer.state is State.CALL and not wants_calls:
                return "call_instead_of_text", at
            names = {call.name for call in answer.calls} | executed.get(at, set())
            if names - row.offered:
                return "unknown_function", at
            if names & row.forbidden:
                return "forbidden_call", at
            if left is not None and (left := left - len(answer.calls)) < 0:
                return "too_many_calls", at
        if answers[-1].state is State.CALL:
            return "unfinished", len(answers)
        if wants_calls and len(answers) == 1:
            return "text_instead_of_call", 1
        missing = self._missing_result(answers, messages, row)
        if missing is not None:
            return missing
        return None if _same_state(environment, row.expected.state) else ("wrong_state", 0)

    def _missing_result(
        self, answers: Sequence[Answer], messages: Sequence[Mapping[str, Any]], row: _Row
    ) -> tuple[str, int] | None:
        """BFCL's response check: the first step of the reference that has a result which the rollout never got."""
        got = Counter(
            (message.get("name"), text_of(message.get("content")))
            for message in messages
            if message.get("role") == "tool"
        )
        for at, (step, results) in enumerate(zip(row.steps, row.expected.results, strict=True)):
            for call, result in zip(step, results, strict=True):
                if got[call.name, result] == 0:
                    calls = answers[at].calls if at < len(answers) else ()
                    why = compare_calls(calls, step, row.schemas)
                    return why or "wrong_result", at + 1
                got[call.name, result] -= 1
        return None


def _turns(
    messages: Sequence[Mapping[str, Any]], token_ids: Any, tool_mask: Any
) -> list[tuple[Mapping[str, Any], list[int] | None]]:
    """Turns of the assistant, each with its tokens where they are known."""
    written = [message for message in messages if message.get("role") == "assistant"]
    if token_ids is None or tool_mask is None:
        return [(message, None) for message in written]
    spans: list[list[int]] = []
    was_written = False
    for token_id, is_written in zip(token_ids, tool_mask, strict=False):
        if is_written and not was_written:
            spans.append([])
        if is_written:
            spans[-1].append(token_id)
        was_written = bool(is_written)
    written += [{"role": "assistant", "content": ""}] * (len(spans) - len(written))
    return list(zip(written, spans, strict=False))


def _executed(messages: Sequence[Mapping[str, Any]]) -> dict[int, set[str]]:
    """Names of the tools that answered each turn, from 1, however its text is read."""
    names: dict[int, set[str]] = {}
    turn = 0
    for message in messages:
        turn += message.get("role") == "assistant"
        if message.get("role") == "tool" and isinstance(message.get("name"), str):
            names.setdefault(turn, set()).add(message["name"])
    return names


def _same_state(environment: Any, expected: Any) -> bool:
    try:
        return values_equal(environment.state, expected, (), {})
    except Exception:  # an environment's own code
        return False
