"""What a run needs before its model is loaded: rows, checks, and a record of its settings."""

import heapq
import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.loading import DEMO, DEMO_MULTI_TURN
from ..sampling.models import context_length
from .launch_checks import check_launch, check_lengths, check_number_of_rows, check_vllm, detect_launch, installed_vllm
from .script_arguments import EGPOScriptArguments

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import ModelConfig

    from ..egpo_config import EGPOConfig


def prepare_rows(script: EGPOScriptArguments, args: "EGPOConfig") -> "tuple[Dataset, Dataset]":
    """
    Rows to train on and rows held out, in the prompt style of the run.

    Args:
        script ([`EGPOScriptArguments`]):
            Where the rows come from.
        args ([`EGPOConfig`]):
            Seed and think tags.

    Returns:
        `tuple`:
            Both as [`~datasets.Dataset`].

    Raises:
        ValueError: If a row is malformed.
    """
    from ..data.loading import in_paper_style, load_rows, split_by_prompt
    from ..data.rows import check_rows
    from ..environments import load_environments
    from ..environments.trajectories import check_trajectories

    rows = load_rows(script.dataset_name, script.dataset_config, script.dataset_train_split, script.num_demo_rows)
    has_trajectories = "trajectory" in rows.column_names
    check_rows(rows, script.dataset_name, ["prompt", "trajectory" if has_trajectories else "reference"])
    if has_trajectories:
        if script.prompt_style != "native":
            raise ValueError("Rows with a `trajectory` are rendered by the chat template. Use prompt_style 'native'.")
        check_trajectories(rows, script.dataset_name, load_environments(script.environments))
    if script.dataset_name in (DEMO, DEMO_MULTI_TURN):
        train, held_out = rows, load_rows(script.dataset_name, split="test", num_demo_rows=script.max_validation_rows)
    else:
        seed = args.seed if args.data_seed is None else args.data_seed
        train, held_out = split_by_prompt(rows, script.validation_share, seed)
    held_out = held_out.select(range(min(len(held_out), script.max_validation_rows)))
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
    return train, held_out


def single_steps(rows: "Dataset", script: EGPOScriptArguments) -> "Dataset":
    """The steps of rows with a `trajectory`, one canonical row each."""
    from datasets import Dataset

    from ..environments import load_environments
    from ..environments.trajectories import stepwise_rows

    return Dataset.from_list(list(stepwise_rows(rows, load_environments(script.environments))))


def model_path(model_args: "ModelConfig") -> str:
    """Folder or Hub id of the model: that of an embedded policy for `"demo"` (or nothing) and `"demo-multiturn"`."""
    from ..demo.policy import demo_policy_path

    name = model_args.model_name_or_path
    if name == DEMO_MULTI_TURN:
        return str(demo_policy_path("multi-turn"))
    return str(demo_policy_path()) if name in (None, DEMO) else str(name)


def longest_prompt_length(rows: "Dataset", tokenizer: Any, render_tools: bool, **template_kwargs: Any) -> int:
    """Tokens of the longest prompt, among the eight rows with the most characters."""
    from ..sampling.generate import render_prompt

    columns = ["prompt", *({"tools"} & set(rows.column_names) if render_tools else ())]
    longest = heapq.nlargest(8, rows.select_columns(columns), key=lambda row: len(str(row)))
    return max(len(render_prompt(tokenizer, row, chat_template_kwargs=template_kwargs)) for row in longest)


def check_before_loading(
    script: EGPOScriptArguments, args: "EGPOConfig", model_args: "ModelConfig", train: "Dataset"
) -> list[str]:
    """
    Every launch check that can be made before the model is loaded.

    Args:
        script ([`EGPOScriptArguments`]):
            Prompt style.
        args ([`EGPOConfig`]):
            Training.
        model_args ([`~trl.ModelConfig`]):
            Model, quantization and adapters.
        train ([`~datasets.Dataset`]):
            Rows to train on.

    Returns:
        `list[str]`:
            Warnings.

    Raises:
        ValueError: If the run is known to fail; the message names the remedy.
    """
    from transformers import AutoConfig, AutoTokenizer

    found = check_launch(args, model_args, detect_launch(args.use_cpu)) + check_vllm(args, installed_vllm())
    check_number_of_rows(len(train), args)
    source = {"revision": model_args.model_revision, "trust_remote_code": args.trust_remote_code}
    tokenizer = AutoTokenizer.from_pretrained(model_path(model_args), **source)
    config = AutoConfig.from_pretrained(model_path(model_args), **source)
    renders = args.render_tools and script.prompt_style == "native"
    template_kwargs: Any = args.chat_template_kwargs or {}
    longest = longest_prompt_length(train, tokenizer, renders, **template_kwargs)
    return found + check_lengths(args, longest, context_length(config))


def check_checkpoint(path: str | None) -> str | bool | None:
    """
    What `resume_from_checkpoint` names, checked before a model is loaded.

    Args:
        path (`str`, *optional*):
            Value of the config: a folder, `"true"` for the latest checkpoint of the output folder, or nothing.

    Returns:
        `str` or `bool` or `None`:
            What [`~transformers.Trainer.train`] takes.

    Raises:
        ValueError: If the folder is no complete checkpoint.
    """
    if path is None or str(path).lower() in ("", "false"):
        return None
    if str(path).lower() == "true":
        return True
    state = Path(path) / "trainer_state.json"
    try:
        json.loads(state.read_text(encoding="utf-8"))["global_step"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"resume_from_checkpoint: {path!r} is no complete checkpoint ({state.name} is missing or broken). Name "
            "another one, or 'true' for the latest in output_dir."
        ) from None
    return str(path)


def record_config(script: EGPOScriptArguments, args: "EGPOConfig", model_args: "ModelConfig") -> None:
    """Write every field of a run and the versions of its libraries into its output folder; tokens are masked."""
    from importlib.metadata import PackageNotFoundError, version

    from ..reports.run_log import save_config

    values = {**vars(model_args), **args.to_dict(), **vars(script)}
    changed = []
    for part in (script, args, model_args):
        for one in fields(part):
            default = one.default if one.default_factory is MISSING else one.default_factory()
            if getattr(part, one.name) != default:
                changed.append(one.name)
    versions = {}
    for name in ("egpo-trl", "trl", "transformers", "torch", "peft", "accelerate"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # the package is used from its sources
            continue
    save_config(values, changed, versions, Path(args.output_dir))
