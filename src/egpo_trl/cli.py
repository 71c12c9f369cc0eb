"""The command line: `egpo-trl train | curves | report`, each a thin call into another module."""

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
           (mean and spread of seeds: egpo-trl curves EGPO=RUN,RUN,RUN GRPO=RUN,RUN,RUN)
  report   write the report of a run as one HTML file: egpo-trl report RUN [--output FILE]

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
    try:
        named = name_runs(options.runs, options.group)
        first = Path(next(iter(named.values()))[0])
        output = options.output or (first if first.is_dir() else first.parent) / "learning_curves.png"
        print(draw_curves(read_runs(named), output, options.title))
    except (ValueError, OSError) as error:
        raise SystemExit(f"egpo-trl curves: {error}") from None


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
    try:
        print(write_html_report(options.run, options.output))
    except (ValueError, OSError) as error:
        raise SystemExit(f"egpo-trl report: {error}") from None


COMMANDS = {"train": train, "curves": curves, "report": report}


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
