"""Rows of a run and the checks before its model is loaded."""

import heapq
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..demo.names import DEMOS
from ..sampling.models import context_length
from .launch_checks import check_launch, check_lengths, check_number_of_rows, context_limits, detect_launch
from .policy import check_adapter, config_source, load_tokenizer
from .script_arguments import EGPOScriptArguments, RowsArguments

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import ModelConfig

    from ..egpo_config import EGPOConfig


@dataclass(frozen=True)
class RunRows:
    """Rows of a run: to train on, held out, and both as they were given (`given`, `given_held_out`)."""

    train: "Dataset"
    held_out: "Dataset"
    given: "Dataset"
    given_held_out: "Dataset"


def load_given_rows(
    script: RowsArguments, bad_rows: str, environments: "Mapping[Any, Any] | None" = None
) -> "Dataset":
    """The rows that a run names, without those that are bad whatever the model, by the policy `bad_rows`."""
    from ..data.loading import load_rows
    from ..data.rows import Check, Problem, check_rows
    from ..environments.trajectories import trajectory_problem

    def check_trajectory(row: Mapping[str, Any]) -> Problem | None:
        words = trajectory_problem(row, environments or {})
        return None if words is None else Problem("invalid_trajectory", words)

    rows = load_rows(script.dataset_name, script.dataset_config, script.dataset_split, script.num_demo_rows)
    has_trajectories = "trajectory" in rows.column_names
    required = ["prompt", "trajectory" if has_trajectories else "reference"]
    checks: list[Check] = [check_trajectory] if has_trajectories and environments is not None else []
    try:
        rows = check_rows(rows, script.dataset_name, required, checks, bad_rows, rows.column_names)
    except UnicodeDecodeError as error:
        raise ValueError(f"dataset_name: {script.dataset_name!r} is not UTF-8 text: {error}.") from None
    return rows


def _hold_out(rows: "Dataset", script: EGPOScriptArguments, seed: int, bad_rows: str) -> "tuple[Dataset, Dataset]":
    """Rows to train on and rows held out."""
    from ..data.loading import load_rows, split_by_prompt
    from ..data.rows import check_rows

    if script.dataset_name in DEMOS:
        return rows, load_rows(script.dataset_name, split="test", num_demo_rows=script.max_validation_rows)
    if script.validation_dataset_name is None:
        return split_by_prompt(rows, script.validation_share, seed)
    held_out = load_rows(script.validation_dataset_name)
    name = script.validation_dataset_name
    required = ["prompt", "trajectory" if "trajectory" in held_out.column_names else "reference"]
    held_out = check_rows(held_out, name, required, bad_rows=bad_rows)
    known = {repr(prompt) for prompt in rows["prompt"]}
    shared = sum(repr(prompt) in known for prompt in held_out["prompt"])
    if shared:
        raise ValueError(
            f"validation_dataset_name: {shared} of {len(held_out)} held-out rows have a prompt that is trained on, so that "
            "they would not measure anything. Remove them; `egpo-trl split` keeps equal prompts together."
        )
    return rows, held_out


def prepare_rows(script: EGPOScriptArguments, args: "EGPOConfig") -> RunRows:
    """Rows to train on and rows held out, in the prompt style of the run; a malformed row is a `ValueError`."""
    from ..data.loading import in_paper_style
    from ..environments import load_environments

    rows = load_given_rows(script, args.bad_rows, load_environments(script.environments))
    has_trajectories = "trajectory" in rows.column_names
    if has_trajectories:
        if script.prompt_style != "native":
            raise ValueError("Rows with a `trajectory` are rendered by the chat template. Use prompt_style 'native'.")
    elif script.multi_turn != "rollouts" or script.environments:
        name = "multi_turn" if script.multi_turn != "rollouts" else "environments"
        raise ValueError(f"{name} does nothing here: the rows lack the column `trajectory`. Remove it.")
    seed = args.seed if args.data_seed is None else args.data_seed
    train, held_out = _hold_out(rows, script, seed, args.bad_rows)
    held_out = held_out.select(range(min(len(held_out), script.max_validation_rows)))
    given_held_out = held_out
    if has_trajectories and script.multi_turn == "stepwise":
        train = single_steps(train, script)  # the held-out rows are judged by whole rollouts either way
    if script.prompt_style == "paper" and args.enable_thinking is False:
        raise ValueError(
            "prompt_style 'paper' asks the model to think, which contradicts enable_thinking=False. Leave "
            "enable_thinking out, or use prompt_style 'native'."
        )
    if script.prompt_style == "paper":
        start, end = args.think_tags or ("<think>", "</think>")
        train, held_out = (in_paper_style(part, (start, end)) for part in (train, held_out))
    return RunRows(train, held_out, rows, given_held_out)


def single_steps(rows: "Dataset", script: EGPOScriptArguments) -> "Dataset":
    """The steps of rows with a `trajectory`, one canonical row each."""
    from datasets import Dataset

    from ..environments import load_environments
    from ..environments.trajectories import stepwise_rows

    return Dataset.from_list(list(stepwise_rows(rows, load_environments(script.environments))))


def prompt_lengths(
    rows: "Dataset", tokenizer: Any, render_tools: bool, longest: int | None = None, **template_kwargs: Any
) -> Iterator[int]:
    """Tokens of the prompts, of all rows or of the `longest` ones by characters; 0 for one that cannot be rendered."""
    from ..data.rendering import PromptRenderer, RenderingError

    render = PromptRenderer(tokenizer, chat_template_kwargs=template_kwargs, render_tools=render_tools)
    columns = ["prompt", *({"tools"} & set(rows.column_names) if render_tools else ())]
    chosen: Any = rows.select_columns(columns)
    if longest is not None:
        chosen = heapq.nlargest(longest, chosen, key=lambda row: len(str(row)))
    for row in chosen:
        length = 0
        with suppress(RenderingError):  # the trainer names the row, or leaves it out
            length = len(render(row))
        yield length


def _without_long_rows(
    rows: RunRows, script: EGPOScriptArguments, args: "EGPOConfig", lengths: list[int], room: int
) -> tuple[RunRows, str]:
    """The rows whose prompts leave room for a completion, and a note about the others; without the option, an error."""
    too_long = [index for index, length in enumerate(lengths) if length > room]
    names = [str(rows.train[index].get("id", index)) for index in too_long[:3]]
    told = (
        f"{len(too_long)} of {len(lengths)} rows ({', '.join(names)}{', …' if len(too_long) > 3 else ''}) have prompts of "
        f"up to {max(lengths)} tokens, and max_completion_length {args.max_completion_length} leaves room for {room}"
    )
    if not script.drop_long_rows:
        raise ValueError(f"{told}. Set drop_long_rows: true to leave them out, or lower max_completion_length.")
    kept = sorted(set(range(len(lengths))) - set(too_long))
    return replace(rows, train=rows.train.select(kept)), f"{told}; they are left out."


def check_before_loading(
    script: EGPOScriptArguments, args: "EGPOConfig", model_args: "ModelConfig", rows: RunRows
) -> tuple[RunRows, list[str]]:
    """Every launch check that can be made before the model is loaded."""
    from transformers import AutoConfig

    found = check_adapter(model_args)
    found += check_launch(args, model_args, detect_launch(args.use_cpu))
    source = {"revision": model_args.model_revision, "trust_remote_code": args.trust_remote_code}
    config = AutoConfig.from_pretrained(config_source(model_args), **source)
    tokenizer = load_tokenizer(model_args, args.trust_remote_code)
    renders = args.render_tools and script.prompt_style == "native"
    template_kwargs: Any = args.chat_template_kwargs or {}
    longest = max(prompt_lengths(rows.train, tokenizer, renders, longest=8, **template_kwargs))
    context = context_length(config)
    limits = [limit for _, limit, _ in context_limits(args, context)]
    room = min(limits, default=longest + args.max_completion_length) - args.max_completion_length
    if longest > room > 0 and (script.drop_long_rows or longest >= min(limits)):
        lengths = list(prompt_lengths(rows.train, tokenizer, renders, **template_kwargs))
        rows, note = _without_long_rows(rows, script, args, lengths, room)
        found.append(note)
        longest = max((length for length in lengths if length <= room), default=0)
    check_number_of_rows(len(rows.train), args)
    return rows, found + check_lengths(args, longest, context)
