"""`egpo-trl evaluate | compare`."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from .parsing import one_message, parse

if TYPE_CHECKING:
    from ..evaluation.suite import Suite

# Suites by name: where their class is, and a line about it. They are loaded when they are asked for.
SUITES = {
    "demo": ("row_suites:DemoSuite", "held-out queries of the embedded tool world"),
    "acebench": ("acebench.suite:ACEBench", "ACEBench by the official code of a checkout (--repo)"),
    "api-bank": ("api_bank.suite:APIBank", "API-Bank by the official code of a checkout (--repo)"),
    "bfcl": ("bfcl.suite:BFCL", "the Berkeley Function-Calling Leaderboard, by its official checkers"),
    "rows": ("row_suites:RowsSuite", "canonical rows of your own, judged by the reward of training"),
}

_USAGE = "usage: egpo-trl evaluate SUITE --model MODEL --output FOLDER [--config FILE] [--field value …]\n\nsuites:\n"


def suite_class(name: str) -> "type[Suite]":
    """Class of a suite by its name, a data class of its options."""
    module, _, kind = SUITES[name][0].partition(":")
    found: type[Suite] = getattr(import_module(f"..evaluation.{module}", __package__), kind)
    return found


def _usage() -> str:
    lines = "".join(f"  {name:<10} {about}\n" for name, (_, about) in SUITES.items())
    return f"{_USAGE}{lines}\n`egpo-trl evaluate SUITE --help` lists the options."


def evaluate(argv: Sequence[str] | None = None) -> None:
    """
    Evaluate a model on a suite, from flags and optionally a YAML config. A run that was ended goes on when the command
    is given again.

    Args:
        argv (`Sequence[str]`, *optional*):
            Name of the suite and options; by default those of the process.

    Raises:
        SystemExit: With one clear message, if a field is wrong, the model cannot be sampled, or the data are missing.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        return
    if words[0] not in SUITES:
        close = difflib.get_close_matches(words[0], SUITES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise SystemExit(f"egpo-trl evaluate: unknown suite {words[0]!r}.{hint}\n\n{_usage()}")

    from ..sampling.config import EvaluationConfig

    command = f"evaluate {words[0]}"
    config, suite = parse(command, (EvaluationConfig, suite_class(words[0])), words[1:])

    from transformers.utils.logging import disable_progress_bar

    from ..evaluation.evaluate import TABLE
    from ..evaluation.evaluate import evaluate as run_evaluation
    from ..sampling.sampler import SamplingStopped

    if not sys.stderr.isatty():
        disable_progress_bar()  # of transformers, which loads weights with one
    try:
        with one_message(command):
            done = run_evaluation(suite, config, show_progress=sys.stderr.isatty())
    except SamplingStopped as error:
        raise SystemExit(f"egpo-trl {command}: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit(f"egpo-trl {command}: interrupted; run the same command again to go on.") from None
    done.summary.print(suite.name)
    print(f"scores and table: {done.folder / TABLE}")


def compare(argv: Sequence[str] | None = None) -> None:
    """
    Compare evaluations of one suite.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if a run is missing, unfinished, or of another suite.
    """
    from pathlib import Path

    from ..evaluation.intervals import RESAMPLES

    parser = argparse.ArgumentParser(
        "egpo-trl compare",
        description="Evaluations of one suite side by side: scores, differences to the first by paired bootstrap on "
        "the prompts that all of them answered, and a picture.",
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="output folder of egpo-trl evaluate, or NAME=RUN; two or more"
    )
    parser.add_argument("--output", type=Path, help="folder for comparison.md, .json and .png; default: the first run")
    parser.add_argument("--title", help="title of the picture")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="resamples of the bootstrap")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    options = parser.parse_args(argv)
    with one_message("compare"):
        from ..evaluation.compare import compare_runs, read_run
        from ..evaluation.comparison_figure import draw_comparison
        from ..reports.before_after import save_summary
        from ..reports.curves import name_runs

        named = name_runs(options.runs)
        several = next((name for name, paths in named.items() if len(paths) > 1), None)
        if several is not None:
            raise ValueError(f"{several!r} names several runs; give each a name of its own.")
        if options.resamples < 1:
            raise ValueError(f"--resamples must be at least 1, got {options.resamples}.")
        runs = [read_run(name, paths[0]) for name, paths in named.items()]
        comparison = compare_runs(runs, options.resamples, options.seed)
        folder = options.output or Path(next(iter(named.values()))[0])
        folder.mkdir(parents=True, exist_ok=True)
        save_summary(comparison.as_dict(), folder / "comparison.json")
        (folder / "comparison.md").write_text(comparison.markdown(), encoding="utf-8")
        comparison.print()
        print(draw_comparison(comparison, folder / "comparison.png", options.title))
