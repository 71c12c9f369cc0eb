"""The command line: `egpo-trl train | curves | merge | plan`, each a thin call into another module."""

import argparse
import difflib
import sys
import warnings
from collections.abc import Sequence

USAGE = """\
usage: egpo-trl COMMAND …

commands:
  train    train a model with EGPO: egpo-trl train --config configs/train/quickstart.yaml [--field value …]
           (several processes: accelerate launch train.py --config …)
  curves   draw the learning curves of one or several runs: egpo-trl curves RUN [RUN …] [--output PICTURE]
  merge    merge a trained adapter into its base model: egpo-trl merge RUN --output FOLDER [--base MODEL]
  plan     say whether a run fits its GPUs: egpo-trl plan --config RECIPE [--accelerate_config FILE] [--gpu_memory GB]

`egpo-trl COMMAND --help` lists the options."""


def _unknown_fields(names: Sequence[str], known: Sequence[str], where: str) -> str:
    lines = []
    for name in names:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f", did you mean {close[0]!r}?" if close else "."
        lines.append(f"unknown {where} {name!r}{hint}")
    return "\n".join(lines)


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
    from trl import ModelConfig, TrlParser

    from .egpo_config import EGPOConfig
    from .training import EGPOScriptArguments, run_training

    parser = TrlParser((EGPOScriptArguments, EGPOConfig, ModelConfig), prog="egpo-trl train")
    known = [action.dest for action in parser._actions]
    try:
        script, args, model_args, in_file, on_line = parser.parse_args_and_config(
            argv, return_remaining_strings=True, separate_remaining_strings=True
        )
    except (ValueError, OSError) as error:
        raise SystemExit(f"egpo-trl train: {error}") from None
    unknown = [
        _unknown_fields([word[2:] for word in words if word.startswith("--")], known, where)
        for words, where in ((in_file, "field in the config file"), (on_line, "option"))
        if words
    ]
    if unknown:
        raise SystemExit("egpo-trl train: " + "\n".join(unknown))
    # TRL 1.16 uses names that transformers 5.23 is about to rename: nothing that a user could act on.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
    try:
        run_training(script, args, model_args)
    except (ValueError, FileNotFoundError) as error:
        if args.log_level == "debug":
            raise
        raise SystemExit(f"egpo-trl train: {error}\n(--log_level debug shows where this came from)") from error


def curves(argv: Sequence[str] | None = None) -> None:
    """
    Draw the learning curves of runs.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if a run has no log.
    """
    from pathlib import Path

    from .curves import draw_curves, read_log

    parser = argparse.ArgumentParser("egpo-trl curves", description="Draw the learning curves of one or several runs.")
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="output folder, checkpoint or trainer_state.json of a run"
    )
    parser.add_argument("--output", type=Path, help="picture to write (.png, .svg, .pdf); default: in the first run")
    options = parser.parse_args(argv)
    first = Path(options.runs[0])
    output = options.output or (first if first.is_dir() else first.parent) / "learning_curves.png"
    try:
        logs = {Path(run).name: read_log(run) for run in options.runs}
        print(draw_curves(logs, output))
    except (ValueError, OSError) as error:
        raise SystemExit(f"egpo-trl curves: {error}") from None


def merge(argv: Sequence[str] | None = None) -> None:
    """
    Merge a trained adapter into its base model.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if there is no adapter or it cannot be merged.
    """
    from .merge import merge_adapter

    parser = argparse.ArgumentParser("egpo-trl merge", description="Merge a trained adapter into its base model.")
    parser.add_argument("adapter", metavar="RUN", help="output folder or checkpoint of a run with use_peft")
    parser.add_argument("--output", required=True, help="folder to write")
    parser.add_argument("--base", help="unquantized base model; default: the one that the adapter was trained on")
    parser.add_argument("--dtype", default="auto", choices=["auto", "bfloat16", "float16", "float32"])
    options = parser.parse_args(argv)
    try:
        print(merge_adapter(options.adapter, options.output, options.base, options.dtype))
    except (ValueError, OSError) as error:
        raise SystemExit(f"egpo-trl merge: {error}") from None


def plan(argv: Sequence[str] | None = None) -> None:
    """
    Calculate the memory that a run needs on each GPU, from the model's config alone.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process. Fields of the recipe may follow, as for `egpo-trl train`.

    Raises:
        SystemExit: With one clear message, if a file or the model's config cannot be read.
    """
    from pathlib import Path

    import yaml
    from transformers import AutoConfig
    from trl import ModelConfig, TrlParser, get_peft_config

    from .egpo_config import EGPOConfig
    from .planner import describe, make_plan, measure_model
    from .training import EGPOScriptArguments, model_path

    parser = argparse.ArgumentParser("egpo-trl plan", description="Calculate the memory that a run needs on each GPU.")
    parser.add_argument("--config", required=True, help="recipe, as for egpo-trl train")
    parser.add_argument("--accelerate_config", help="file of configs/accelerate; default: one GPU")
    parser.add_argument("--num_processes", type=int, help="GPUs that train; default: that of the accelerate config")
    parser.add_argument("--gpu_memory", type=float, default=80.0, help="GB of one GPU (default: 80)")
    parser.add_argument("--prompt_length", type=int, default=2048, help="tokens of a long prompt (default: 2048)")
    options, fields = parser.parse_known_args(argv)
    recipe = TrlParser((EGPOScriptArguments, EGPOConfig, ModelConfig), prog="egpo-trl plan")
    try:
        engine = {"distributed_type": "NO", "num_processes": 1}
        if options.accelerate_config:
            engine = yaml.safe_load(Path(options.accelerate_config).read_text(encoding="utf-8"))
        engine["num_processes"] = options.num_processes or engine["num_processes"]
        command = ["--config", options.config, *fields, "--use_cpu", "true"]
        _, args, model_args = recipe.parse_args_and_config(command)
        size = measure_model(AutoConfig.from_pretrained(model_path(model_args)), get_peft_config(model_args))
        print(describe(size, make_plan(args, model_args, engine, options.prompt_length), options.gpu_memory))
    except (ValueError, OSError) as error:
        raise SystemExit(f"egpo-trl plan: {error}") from None


COMMANDS = {"train": train, "curves": curves, "merge": merge, "plan": plan}


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `egpo-trl`."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return
    if words[0] not in COMMANDS:
        raise SystemExit(f"egpo-trl: unknown command {words[0]!r}\n\n{USAGE}")
    COMMANDS[words[0]](words[1:])


if __name__ == "__main__":
    main()
