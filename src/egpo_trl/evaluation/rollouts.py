"""Runs rollouts with executed tools, token for token as TRL's tool loop does, without a trainer."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl.chat_template_utils import get_training_chat_template, is_chat_template_prefix_preserving, parse_response

from ..environments.protocol import offered_schemas, tool_methods
from ..environments.replay import DEFAULT_LIMITS, start
from ..rewards.trajectory import TrajectoryReward
from ..rollouts.response_templates import ensure_response_template, parsing_what_is_written, turn_reader
from ..rollouts.think_spans import ThinkTags
from ..rollouts.tool_guard import EventLoops, RowTools, ToolGuard, ToolLimits
from ..rollouts.tool_text import ToolText
from ..sampling.generate import render_prompt, sample_completions, stop_token_ids
from ..tool_calls.calls import parse_tools
from .exact_match import Judged

MAX_TOOL_ROUNDS = 16  # where the configuration of a run sets no limit


@dataclass
class Rollout:
    """A row served by a model that called tools."""

    row: Mapping[str, Any]
    environment: Any
    tools: Mapping[str, Callable[..., Any]]
    schemas: list[dict[str, Any]]
    prompt_ids: list[int]
    messages: list[dict[str, Any]] = field(default_factory=list)
    completion_ids: list[int] = field(default_factory=list)
    tool_mask: list[int] = field(default_factory=list)

    def call_tools(self, guard: ToolGuard) -> list[dict[str, Any]]:
        """Tool messages with what the calls of the last turn give, none where it is a text."""
        tools = RowTools(self.tools, guard, self.environment, parse_tools(self.schemas))
        results = []
        for call in self.messages[-1].get("tool_calls") or ():
            function = call.get("function", call)
            try:
                content = tools[function["name"]](**function["arguments"])
            except Exception as error:  # arguments may be no mapping
                content = str({"error": str(error)})
            results.append({"role": "tool", "name": function["name"], "content": content})
        return results


def tool_suffix_ids(
    tokenizer: PreTrainedTokenizerBase,
    results: Sequence[Mapping[str, Any]],
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> list[int]:
    """Token ids between the end of a turn with calls and the next turn: the results, and what opens that turn."""
    call = {"type": "function", "function": {"name": results[0]["name"], "arguments": {}}}
    before: list[dict[str, Any]] = [
        {"role": "user", "content": "dummy"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    options = {"tokenize": True, "return_dict": True, **dict(chat_template_kwargs or {})}
    prefix = tokenizer.apply_chat_template(before, **options)["input_ids"]
    full = tokenizer.apply_chat_template([*before, *results], add_generation_prompt=True, **options)["input_ids"]
    ends = [at for at, token_id in enumerate(prefix) if token_id == tokenizer.eos_token_id]
    return list(full[ends[-1] + 1 if ends else len(prefix) :])


def run_rollouts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    environments: Mapping[str, Callable[[], Any]],
    *,
    max_completion_length: int,
    max_tool_rounds: int,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    temperature: float = 0.0,
    batch_size: int = 32,
    seed: int = 0,
    limits: ToolLimits = DEFAULT_LIMITS,
    syntax: str = "auto",
) -> list[Rollout]:
    """Let a model serve rows with the tools of their environments."""
    ensure_response_template(tokenizer)
    rendering = dict(chat_template_kwargs or {})
    if not is_chat_template_prefix_preserving(tokenizer):
        rendering["chat_template"] = get_training_chat_template(tokenizer)
    guard = ToolGuard(limits, EventLoops(), lambda *_: None)
    text = ToolText(tokenizer, _think_tags(tokenizer), rendering.get("chat_template") or str(tokenizer.chat_template))

    def render(results: Sequence[Mapping[str, Any]]) -> list[int]:
        return tool_suffix_ids(tokenizer, results, rendering)

    stops = stop_token_ids(tokenizer, model.generation_config)
    reader = turn_reader(tokenizer, chat_template_kwargs, stop_token_ids=stops, syntax=syntax)
    longest = min(model.config.max_position_embeddings, tokenizer.model_max_length)
    rollouts = []
    for row in rows:
        environment = start(environments[row["environment"]], row)
        offered = offered_schemas(environment, row.get("tools"))
        shown = {**row, "tools": json.dumps(offered)}
        prompt = render_prompt(tokenizer, shown, chat_template_kwargs=rendering)
        names = {schema.get("function", schema)["name"] for schema in offered}
        tools = {name: tool for name, tool in tool_methods(environment).items() if name in names}
        rollouts.append(Rollout(row, environment, tools, offered, prompt))
    active = rollouts
    for turn in range(max_tool_rounds + 1):
        written = sample_completions(
            model,
            tokenizer,
            [rollout.prompt_ids + rollout.completion_ids for rollout in active],
            max_new_tokens=max_completion_length,
            temperature=temperature,
            batch_size=batch_size,
            seed=seed + turn,
        )
        calling = []
        for rollout, ids in zip(active, written, strict=True):
            ids = ids[: max_completion_length - len(rollout.completion_ids)]
            if not ids and rollout.completion_ids:
                continue
            prefix = rollout.prompt_ids + rollout.completion_ids
            with parsing_what_is_written(tokenizer, reader):
                message = parse_response(tokenizer, ids, prefix=prefix, tools=rollout.schemas)
            rollout.messages.append(message)
            rollout.completion_ids += ids
            rollout.tool_mask += [1] * len(ids)
            results = rollout.call_tools(guard) if turn < max_tool_rounds else []
            if not results:
                continue
            suffix, _ = text.suffix_ids(render, results)
            length = len(rollout.completion_ids) + len(suffix)
            if length > max_completion_length or len(rollout.prompt_ids) + length >= longest:
                continue
            rollout.messages += results
            rollout.completion_ids += suffix
            rollout.tool_mask += [0] * len(suffix)
            calling.append(rollout)
        active = calling
        if not active:
            break
    return rollouts


def _think_tags(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    try:
        tags = ThinkTags(tokenizer)
    except ValueError:  # a model without think tags
        return ()
    return (tags.start, tags.end)


def judge_rollouts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    reward: TrajectoryReward,
    environments: Mapping[str, Callable[[], Any]],
    *,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> list[Judged]:
    """
    Let a model serve rows with executed tools, and judge the rollouts as training does.

    Args:
        model ([`~transformers.PreTrainedModel`]):
            Model to evaluate.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Its tokenizer; it gets a response template where it has none.
        rows (`Sequence[Mapping[str, Any]]`):
            Trajectory rows.
        reward ([`TrajectoryReward`]):
            Criterion; options that are open are taken from the tokenizer.
        environments (`Mapping[str, Callable]`):
            Factories by the name that rows give.
        chat_template_kwargs (`Mapping`, *optional*):
            Further arguments of the chat template.
        **options:
            Arguments of [`run_rollouts`].

    Returns:
        `list[Judged]`:
            One for each row, in order.
    """
    stops = stop_token_ids(tokenizer, model.generation_config)
    bound = reward.bind(tokenizer, chat_template_kwargs, stop_token_ids=stops, limits=options.get("limits"))
    options = {"syntax": bound.syntax, "chat_template_kwargs": chat_template_kwargs, **options}
    rollouts = run_rollouts(model, tokenizer, rows, environments, **options)
    judged = []
    for one in rollouts:
        text = tokenizer.decode(one.completion_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        verdict = bound.judge(one.messages, one.row, one.environment, one.completion_ids, one.tool_mask)
        ids, mask = tuple(one.completion_ids), tuple(one.tool_mask)
        judged.append(Judged(one.row, text, verdict.score, verdict.reason, ids, mask))
    return judged
