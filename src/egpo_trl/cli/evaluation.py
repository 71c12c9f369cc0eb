"""Runs `egpo-trl evaluate | compare`."""

import argparse
import sys
import webbrowser
from pathlib import Path

from .failure import INTERRUPTED, WRONG_USAGE, Failure, one_message
from .parsing import Call


def evaluate(call: Call) -> None:
    """Evaluate a model on a suite; a run that was ended continues when the command is given again."""
    from ..sampling.config import EvaluationConfig
    from .table import suite_class

    command = call.command
    config, suite = call.build(EvaluationConfig, suite_class(command.split()[1]))

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
        raise Failure(f"egpo-trl {command}: {error}") from error
    except KeyboardInterrupt:
        raise Failure(
            f"egpo-trl {command}: interrupted; run the same command again to continue.", INTERRUPTED
        ) from None
    done.summary.print(suite.name)
    print(f"scores and table: {done.folder / TABLE}")


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl compare`."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="output folder of egpo-trl evaluate, or NAME=RUN; two or more"
    )
    parser.add_argument(
        "--output_dir", metavar="FOLDER", type=Path,
        help="folder for comparison.html, .png, .md and .json; default: the first run",
    )  # fmt: skip
    parser.add_argument("--title", help="title of the picture and of the page")
    parser.add_argument("--open", action="store_true", help="show the page in the browser")


def compare(call: Call) -> None:
    """Compare evaluations of one suite."""
    options = call.options
    with one_message("compare"):
        from ..evaluation.compare import compare_runs, read_run
        from ..evaluation.comparison_figure import draw_comparison
        from ..evaluation.comparison_page import write_comparison_page
        from ..reports.curves import name_runs
        from ..utils.files import write_json

        named = name_runs(options.runs)
        several = next((name for name, paths in named.items() if len(paths) > 1), None)
        if several is not None:
            raise Failure(
                f"egpo-trl compare: {several!r} names several runs; give each a name of its own.", WRONG_USAGE
            )
        runs = [read_run(name, paths[0]) for name, paths in named.items()]
        comparison = compare_runs(runs)
        folder = options.output_dir or Path(next(iter(named.values()))[0])
        folder.mkdir(parents=True, exist_ok=True)
        write_json(comparison.as_dict(), folder / "comparison.json")
        (folder / "comparison.md").write_text(comparison.markdown(), encoding="utf-8")
        comparison.print()
        print(draw_comparison(comparison, folder / "comparison.png", options.title))
        page = write_comparison_page(comparison, runs, folder / "comparison.html", options.title)
        print(page)
    if options.open:
        webbrowser.open(page.resolve().as_uri())
