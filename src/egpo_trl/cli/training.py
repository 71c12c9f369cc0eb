"""`egpo-trl train | sft | merge | plan`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..utils.quiet import quiet_libraries
from .parsing import one_message, parse


def train(argv: Sequence[str] | None = None) -> None:
    """
    Train a model from a YAML config and flags, as `accelerate launch train.py --config … [--field value …]`.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if a field is unknown, a value is out of range, a row is malformed, or the
            files named do not exist.
    """
    quiet_libraries()
    from trl import ModelConfig

    from ..egpo_config import EGPOConfig
    from ..runs.script_arguments import EGPOScriptArguments
    from ..runs.training import run_training

    script, args, model_args = parse("train", (EGPOScriptArguments, EGPOConfig, ModelConfig), argv)
    with one_message("train", args.log_level):
        run_training(script, args, model_args)


def sft(argv: Sequence[str] | None = None) -> None:
    """
    Fine-tune a model on the right answers of canonical rows, from a YAML config and flags.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if a field is unknown, a value is out of range, or a row is malformed.
    """
    quiet_libraries()
    from trl import ModelConfig, SFTConfig

    from ..runs.sft import SFTScriptArguments, run_sft

    script, args, model_args = parse("sft", (SFTScriptArguments, SFTConfig, ModelConfig), argv)
    with one_message("sft", args.log_level):
        run_sft(script, args, model_args)


def merge(argv: Sequence[str] | None = None) -> None:
    """
    Merge a trained adapter into its base model.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if there is no adapter or it cannot be merged.
    """
    from ..runs.merge import merge_adapter

    parser = argparse.ArgumentParser("egpo-trl merge", description="Merge a trained adapter into its base model.")
    parser.add_argument("adapter", metavar="RUN", help="output folder or checkpoint of a run with use_peft")
    parser.add_argument("--output", required=True, help="folder to write")
    parser.add_argument("--base", help="unquantized base model; default: the one that the adapter was trained on")
    parser.add_argument(
        "--dtype",
        default="auto",
        choices=["auto", "bfloat16", "float16", "float32"],
        help="number format of the merged model; auto: that of the base",
    )
    options = parser.parse_args(argv)
    with one_message("merge"):
        print(merge_adapter(options.adapter, options.output, options.base, options.dtype))


def plan(argv: Sequence[str] | None = None) -> None:
    """
    Calculate the memory that a run needs on each GPU, from the model's config alone.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process. Fields of the recipe may follow, as for `egpo-trl train`.

    Raises:
        SystemExit: With one clear message, if a file or the model's config cannot be read.
    """
    quiet_libraries()
    from transformers import AutoConfig
    from trl import ModelConfig, get_peft_config

    from ..egpo_config import EGPOConfig
    from ..runs.planner import describe, make_plan, measure_model
    from ..runs.script_arguments import EGPOScriptArguments
    from ..runs.setup import model_path

    parser = argparse.ArgumentParser("egpo-trl plan", description="Calculate the memory that a run needs on each GPU.")
    parser.add_argument("--config", required=True, help="recipe, as for egpo-trl train")
    parser.add_argument("--accelerate_config", help="file of configs/accelerate; default: one GPU")
    parser.add_argument("--num_processes", type=int, help="GPUs that train; default: that of the accelerate config")
    parser.add_argument("--gpu_memory", type=float, default=80.0, help="GB of one GPU (default: 80)")
    parser.add_argument("--prompt_length", type=int, default=2048, help="tokens of a long prompt (default: 2048)")
    options, fields = parser.parse_known_args(argv)
    with one_message("plan"):
        engine = _read_engine(options.accelerate_config, options.num_processes)

        class PlannedConfig(EGPOConfig):
            """Counts the rollouts of a generation over the processes of the plan, not over this one alone."""

            world_size = property(lambda self: engine["num_processes"])

        command = ["--config", options.config, *fields, "--use_cpu", "true"]
        _, args, model_args = parse("plan", (EGPOScriptArguments, PlannedConfig, ModelConfig), command)
        size = measure_model(AutoConfig.from_pretrained(model_path(model_args)), get_peft_config(model_args))
        print(describe(size, make_plan(args, model_args, engine, options.prompt_length), options.gpu_memory))


def _read_engine(path: str | None, num_processes: int | None) -> dict[str, Any]:
    """Contents of an accelerate config, by default one process, with the number of processes asked for."""
    import yaml

    engine: Any = {"distributed_type": "NO", "num_processes": 1}
    if path is not None:
        try:
            engine = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is no YAML: {error}") from None
    if not isinstance(engine, dict) or not {"distributed_type", "num_processes"} <= engine.keys():
        raise ValueError(
            f"{path} names no distributed_type or no num_processes. Take a file of configs/accelerate, or one that "
            "`accelerate config` wrote."
        )
    if num_processes is not None:
        engine["num_processes"] = num_processes
    if engine["num_processes"] < 1:
        raise ValueError(f"num_processes must be at least 1, got {engine['num_processes']}.")
    return engine
