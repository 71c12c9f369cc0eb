"""The command line: `egpo-trl train | clean | sft | …`, each a thin call into another module."""

import argparse
import difflib
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

USAGE = """\
usage: egpo-trl COMMAND …

commands:
  train    train a model with EGPO: egpo-trl train --config configs/train/quickstart.yaml [--field value …]
           (several processes: accelerate launch train.py --config …)
  convert  public function-calling data sets as rows: egpo-trl convert xlam FILE_OR_HUB_ID --output rows.jsonl
  clean    clean rows with an LLM judge and an AST evaluation: egpo-trl clean --config configs/clean/example.yaml
  sft      fine-tune on the right answers with TRL's SFTTrainer: egpo-trl sft --config configs/sft/quickstart.yaml
  sft-data write rows as conversations for SFT: egpo-trl sft-data --dataset_name ROWS --output FILE
  curves   draw the learning curves of one or several runs: egpo-trl curves RUN [RUN …] [--output PICTURE]
           (mean and spread of seeds: egpo-trl curves EGPO=RUN,RUN,RUN GRPO=RUN,RUN,RUN)
  report   write the report of a run as one HTML file: egpo-trl report RUN [--output FILE]
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


def _parse(command: str, dataclasses: tuple[Any, ...], argv: Sequence[str] | None) -> list[Any]:
    """One object for each data class, from a YAML config and flags; an unknown field is an error."""
    import yaml
    from trl import TrlParser

    parser = TrlParser(dataclasses, prog=f"egpo-trl {command}")
    known = [action.dest for action in parser._actions]
    try:
        parsed = parser.parse_args_and_config(argv, return_remaining_strings=True, separate_remaining_strings=True)
    except (ValueError, TypeError, OSError, yaml.YAMLError) as error:
        raise SystemExit(f"egpo-trl {command}: {error}") from None
    *objects, in_file, on_line = list(parsed)
    unknown = [
        _unknown_fields([word[2:] for word in words if word.startswith("--")], known, where)
        for words, where in ((in_file, "field in the config file"), (on_line, "option"))
        if words
    ]
    stray = [word for words in (in_file, on_line) for word in words[:1] if not word.startswith("--")]
    unknown += [f"what is {word!r}? Options are written --field value." for word in stray]
    if unknown:
        raise SystemExit(f"egpo-trl {command}: " + "\n".join(filter(None, unknown)))
    return objects


@contextmanager
def _one_message(command: str, log_level: str | None = None) -> Iterator[None]:
    """What is wrong with the input of a command becomes one message instead of a traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
        if log_level == "debug":
            raise
        hint = "" if log_level is None else "\n(--log_level debug shows where this came from)"
        raise SystemExit(f"egpo-trl {command}: {error}{hint}") from error


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
    from trl import ModelConfig

    from .egpo_config import EGPOConfig
    from .script_arguments import EGPOScriptArguments
    from .training import run_training

    script, args, model_args = _parse("train", (EGPOScriptArguments, EGPOConfig, ModelConfig), argv)
    # TRL 1.16 uses names that transformers 5.23 is about to rename: nothing that a user could act on.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
    with _one_message("train", args.log_level):
        run_training(script, args, model_args)


def convert(argv: Sequence[str] | None = None) -> None:
    """
    Convert a function-calling data set to canonical rows.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if the source is unknown or the data cannot be read.
    """
    import json
    from pathlib import Path

    from .data.sources import SOURCES
    from .data.sources import convert as convert_rows

    parser = argparse.ArgumentParser("egpo-trl convert", description="Convert a function-calling data set to rows.")
    parser.add_argument("source", choices=sorted(SOURCES), help="format of the data, see docs/data.md")
    parser.add_argument("name", help="file, folder or data set on the Hub")
    parser.add_argument("--config", help="configuration of a data set on the Hub")
    parser.add_argument("--split", default="train", help="split of a data set on the Hub")
    parser.add_argument("--output", type=Path, required=True, help="JSON-lines file to write")
    options = parser.parse_args(argv)

    with _one_message("convert"):
        conversion = convert_rows(
            options.name,
            options.source,
            split=options.split,
            config=options.config,
            on_skip=lambda skipped: print(f"skipped {skipped}", file=sys.stderr),
        )
        options.output.parent.mkdir(parents=True, exist_ok=True)
        with options.output.open("w", encoding="utf-8") as file:
            for row in conversion:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        skipped = sum(conversion.skipped.values())
        print(f"{conversion.num_rows} rows from {conversion.num_records} records, {skipped} skipped: {options.output}")


def clean(argv: Sequence[str] | None = None) -> None:
    """
    Clean canonical rows from a YAML config and flags. A run that was ended goes on when the command is given again.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if a field is wrong, the budget is spent, or the judge fails for good.
    """
    from .data.cleaning import CleaningConfig, CleaningStopped
    from .data.cleaning import clean as clean_rows

    (config,) = _parse("clean", (CleaningConfig,), argv)
    try:
        clean_rows(config, show_progress=True).print()
    except (ValueError, OSError, CleaningStopped) as error:
        raise SystemExit(f"egpo-trl clean: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("egpo-trl clean: interrupted; run the same command again to go on.") from None


def sft(argv: Sequence[str] | None = None) -> None:
    """
    Fine-tune a model on the right answers of canonical rows, from a YAML config and flags.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if a field is unknown, a value is out of range, or a row is malformed.
    """
    from trl import ModelConfig, SFTConfig

    from .sft_training import SFTScriptArguments, run_sft

    script, args, model_args = _parse("sft", (SFTScriptArguments, SFTConfig, ModelConfig), argv)
    with _one_message("sft", args.log_level):
        run_sft(script, args, model_args)


def sft_data(argv: Sequence[str] | None = None) -> None:
    """
    Write canonical rows as conversations for SFT.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if a row is malformed or a file does not exist.
    """
    from pathlib import Path

    from .data.loading import load_rows
    from .data.sft import NO_CALL_TEXT, SFT_FORMATS, save_conversations, to_sft_dataset

    parser = argparse.ArgumentParser(
        "egpo-trl sft-data", description="Write rows as conversations for TRL's SFTTrainer."
    )
    parser.add_argument("--dataset_name", required=True, help="rows, as for egpo-trl train")
    parser.add_argument("--dataset_config", help="configuration of a data set on the Hub")
    parser.add_argument("--split", default="train", help="split to write")
    parser.add_argument("--output", type=Path, required=True, help="file to write (.parquet, .jsonl)")
    parser.add_argument("--sft_format", choices=SFT_FORMATS, default=SFT_FORMATS[0], help="columns to write")
    parser.add_argument("--thought_column", help="column with a chain of thought for the answer")
    parser.add_argument("--no_call_text", default=NO_CALL_TEXT, help="answer where text is right and there is none")
    options = parser.parse_args(argv)
    with _one_message("sft-data"):
        rows = load_rows(options.dataset_name, options.dataset_config, options.split)
        conversations = to_sft_dataset(rows, options.sft_format, options.thought_column, options.no_call_text)
        save_conversations(conversations, options.output)
    print(f"{len(conversations):,} conversations: {options.output}")


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

    from .curves import draw_curves, name_runs, read_runs

    parser = argparse.ArgumentParser(
        "egpo-trl curves", description="Draw the learning curves of one or several runs, finished or not."
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN",
        help="output folder, checkpoint, log.jsonl or trainer_state.json of a run; NAME=RUN,RUN,… for the seeds of one "
        "setting, drawn as mean and standard deviation",
    )  # fmt: skip
    parser.add_argument(
        "--group", metavar="PATTERN",
        help=r"regular expression for the part of a folder's name that tells seeds apart, such as '-\d+$': runs with "
        "equal names without it are seeds of one setting",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="picture to write (.png, .svg, .pdf); default: in the first run")
    parser.add_argument("--title", help="title of the picture")
    options = parser.parse_args(argv)
    with _one_message("curves"):
        named = name_runs(options.runs, options.group)
        first = Path(next(iter(named.values()))[0])
        output = options.output or (first if first.is_dir() else first.parent) / "learning_curves.png"
        print(draw_curves(read_runs(named), output, options.title))


def report(argv: Sequence[str] | None = None) -> None:
    """
    Write the report of a run as one HTML file.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if the folder holds no log or a broken file.
    """
    from pathlib import Path

    from .html_report import write_html_report

    parser = argparse.ArgumentParser(
        "egpo-trl report", description="Write the report of a run, finished or not, as one HTML file."
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="output folder of the run")
    parser.add_argument("--output", type=Path, help="file to write; default: report.html in the run")
    options = parser.parse_args(argv)
    with _one_message("report"):
        print(write_html_report(options.run, options.output))


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
    with _one_message("merge"):
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
    from pathlib import Path

    import yaml
    from transformers import AutoConfig
    from trl import ModelConfig, TrlParser, get_peft_config

    from .egpo_config import EGPOConfig
    from .planner import describe, make_plan, measure_model
    from .script_arguments import EGPOScriptArguments
    from .training import model_path

    parser = argparse.ArgumentParser("egpo-trl plan", description="Calculate the memory that a run needs on each GPU.")
    parser.add_argument("--config", required=True, help="recipe, as for egpo-trl train")
    parser.add_argument("--accelerate_config", help="file of configs/accelerate; default: one GPU")
    parser.add_argument("--num_processes", type=int, help="GPUs that train; default: that of the accelerate config")
    parser.add_argument("--gpu_memory", type=float, default=80.0, help="GB of one GPU (default: 80)")
    parser.add_argument("--prompt_length", type=int, default=2048, help="tokens of a long prompt (default: 2048)")
    options, fields = parser.parse_known_args(argv)
    recipe = TrlParser((EGPOScriptArguments, EGPOConfig, ModelConfig), prog="egpo-trl plan")
    with _one_message("plan"):
        engine = {"distributed_type": "NO", "num_processes": 1}
        if options.accelerate_config:
            engine = yaml.safe_load(Path(options.accelerate_config).read_text(encoding="utf-8"))
        engine["num_processes"] = options.num_processes or engine["num_processes"]
        command = ["--config", options.config, *fields, "--use_cpu", "true"]
        _, args, model_args = recipe.parse_args_and_config(command)
        size = measure_model(AutoConfig.from_pretrained(model_path(model_args)), get_peft_config(model_args))
        print(describe(size, make_plan(args, model_args, engine, options.prompt_length), options.gpu_memory))


COMMANDS = {
    "train": train,
    "convert": convert,
    "clean": clean,
    "sft": sft,
    "sft-data": sft_data,
    "curves": curves,
    "report": report,
    "merge": merge,
    "plan": plan,
}


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
