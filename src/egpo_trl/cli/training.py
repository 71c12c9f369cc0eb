"""Runs `egpo-trl train | sft | merge | plan`."""

import argparse
from typing import Any

from .config_file import read_yaml
from .failure import WRONG_USAGE, Failure, one_message
from .parsing import Call, number_type


def train(call: Call) -> None:
    """Train a model from a YAML file and options."""
    from trl import ModelConfig

    from ..egpo_config import EGPOConfig
    from ..runs.script_arguments import EGPOScriptArguments
    from ..runs.training import run_training

    script, args, model_args = call.build(EGPOScriptArguments, EGPOConfig, ModelConfig)
    with one_message("train", args.log_level):
        run_training(script, args, model_args)


def sft(call: Call) -> None:
    """Fine-tune a model on the right answers of canonical rows."""
    from trl import ModelConfig, SFTConfig

    from ..runs.sft import SFTScriptArguments, run_sft

    script, args, model_args = call.build(SFTScriptArguments, SFTConfig, ModelConfig)
    with one_message("sft", args.log_level):
        run_sft(script, args, model_args)


def merge_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl merge`."""
    parser.add_argument("run", metavar="RUN", help="output folder or checkpoint of a run with use_peft")
    parser.add_argument("--output_dir", metavar="FOLDER", required=True, help="folder to write")
    parser.add_argument(
        "--model_name_or_path", metavar="MODEL", help="unquantized base model; default: that of the adapter"
    )
    parser.add_argument(
        "--dtype",
        default="auto",
        choices=["auto", "bfloat16", "float16", "float32"],
        help="number format of the merged model; auto: that of the base",
    )


def merge(call: Call) -> None:
    """Merge a trained adapter into its base model."""
    from ..runs.merge import merge_adapter

    options = call.options
    with one_message("merge"):
        print(merge_adapter(options.run, options.output_dir, options.model_name_or_path, options.dtype))


def plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl plan` beside the fields of a recipe."""
    from ..runs.plan_time import GPUS

    parser.add_argument("--accelerate_config", metavar="FILE", help="accelerate config or its name; default: one GPU")
    parser.add_argument(
        "--num_processes", metavar="N", type=number_type(int, 1), help="GPUs that train; default: as in that config"
    )
    parser.add_argument(
        "--gpu", metavar="NAME", choices=GPUS, help=f"one of {', '.join(GPUS)}: tells the time of a step too"
    )
    parser.add_argument(
        "--gpu_memory", metavar="GB", type=number_type(float, 0.1), help="GB of one GPU; default: that of --gpu, or 80"
    )
    parser.add_argument(
        "--params", metavar="N", type=_parameters, help="parameters of the model, such as 1.7B, in place of its config"
    )
    parser.add_argument(
        "--model_config", metavar="FILE", help="config.json of the model, where the Hub is not reached"
    )
    parser.add_argument(
        "--prompt_length", metavar="N", type=number_type(int, 1), default=2048, help="tokens of a long prompt"
    )


def _parameters(text: str) -> float:
    from ..runs.model_shapes import parameters_of

    try:
        return parameters_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def plan(call: Call) -> None:
    """Calculate the memory that a run needs on each GPU, from the model's config alone."""
    from transformers import AutoConfig
    from trl import ModelConfig, get_peft_config

    from ..egpo_config import EGPOConfig
    from ..runs.model_shapes import config_of_file, config_of_size
    from ..runs.plan_time import GPUS, describe_time
    from ..runs.planner import describe, make_plan, measure_model
    from ..runs.policy import config_source

    options = call.options
    if all(
        value is None for value in (options.config, options.model_name_or_path, options.params, options.model_config)
    ):
        raise Failure(
            "egpo-trl plan: name a recipe with --config, or a model with --model, --model_config or --params.",
            WRONG_USAGE,
        )
    with one_message("plan"):
        engine = _read_engine(options.accelerate_config, options.num_processes)

        class PlannedConfig(EGPOConfig):
            """Counts the rollouts of a generation over the processes of the plan, not over this one alone."""

            world_size = property(lambda self: engine["num_processes"])

        options.use_cpu = True  # the plan is about another machine
        args, model_args = call.build(PlannedConfig, ModelConfig)
        if options.params is not None:
            config = config_of_size(options.params)
        elif options.model_config is not None:
            config = config_of_file(options.model_config)
        else:
            config = AutoConfig.from_pretrained(config_source(model_args))
        size = measure_model(config, get_peft_config(model_args))
        planned = make_plan(args, model_args, config, engine, options.prompt_length)
        memory = options.gpu_memory or (GPUS[options.gpu].memory if options.gpu else 80.0)
        print(describe(size, planned, memory))
        if options.gpu:
            print(describe_time(size, planned, options.gpu, args.max_steps))


def _read_engine(name: str | None, num_processes: int | None) -> dict[str, Any]:
    """Contents of an accelerate config, by default one process, with the number of processes asked for."""
    from .recipes import recipe_path

    engine: dict[str, Any] = {"distributed_type": "NO", "num_processes": 1}
    if name is not None:
        engine = read_yaml(recipe_path(name, "accelerate"))
    if not {"distributed_type", "num_processes"} <= engine.keys():
        raise ValueError(
            f"{name} names no distributed_type or no num_processes. Take a file of configs/accelerate, or one that "
            "`accelerate config` wrote."
        )
    if num_processes is not None:
        engine["num_processes"] = num_processes
    if engine["num_processes"] < 1:
        raise ValueError(f"num_processes must be at least 1, got {engine['num_processes']}.")
    return engine
