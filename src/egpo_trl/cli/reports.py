"""Runs `egpo-trl curves | report | rollouts`."""

import argparse
import webbrowser
from pathlib import Path

from .failure import WRONG_USAGE, Failure, one_message
from .parsing import Call, number_type


def curves_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl curves`."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN",
        help="output folder, checkpoint, log.jsonl or trainer_state.json of a run; NAME=RUN,RUN,… for the seeds of one "
        "setting, drawn as mean and standard deviation",
    )  # fmt: skip
    parser.add_argument(
        "--group", metavar="PATTERN",
        help=r"regular expression for the part of a folder's name that tells seeds apart, such as 'seed\d+$': runs with "
        "equal names without it are seeds of one setting",
    )  # fmt: skip
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="picture to write (.png, .svg, .pdf); default: in the first run"
    )
    parser.add_argument("--title", help="title of the picture")


def _named_runs(call: Call) -> dict[str, list[str]]:
    from ..reports.curves import name_runs

    try:
        return name_runs(call.options.runs, call.options.group)
    except ValueError as error:
        raise Failure(f"egpo-trl {call.command}: {error}", WRONG_USAGE) from None


def curves(call: Call) -> None:
    """Draw the learning curves of runs."""
    from ..reports.curves import draw_curves, read_runs

    options, named = call.options, _named_runs(call)
    with one_message("curves"):
        first = Path(next(iter(named.values()))[0])
        output = options.output or (first if first.is_dir() else first.parent) / "learning_curves.png"
        print(draw_curves(read_runs(named), output, options.title))


def report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl report`."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN",
        help="output folder of a run, finished or not; several, or NAME=RUN,RUN,… for seeds, are shown side by side",
    )  # fmt: skip
    parser.add_argument("--group", metavar="PATTERN", help="as for egpo-trl curves")
    parser.add_argument(
        "--output", metavar="FILE", type=Path,
        help="file to write; default: report.html in the run, or comparison.html in the first of several",
    )  # fmt: skip
    parser.add_argument("--open", action="store_true", help="show it in the browser")


def report(call: Call) -> None:
    """Write the report of one or several runs as one HTML file."""
    from ..reports.html_report import write_report

    options = call.options
    _named_runs(call)
    with one_message("report"):
        path = write_report(options.runs, options.output, options.group)
    print(path)
    if options.open:
        webbrowser.open(path.resolve().as_uri())


def rollouts_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `egpo-trl rollouts`."""
    from ..reports.terminal import SORTS

    parser.add_argument("run", metavar="RUN", help="output folder of a run, finished or not")
    parser.add_argument("--when", metavar="TIME", help="before, after, training, or a step; default: all")
    parser.add_argument(
        "--reason", metavar="REASON", help="rollouts with this verdict, such as correct or wrong_value"
    )
    parser.add_argument(
        "--text", metavar="TEXT", help="rollouts that hold this text, in the request or the completion"
    )
    parser.add_argument("--sort", choices=SORTS, help="order; default: by step")
    parser.add_argument("--count", metavar="N", type=number_type(int, 1), default=5, help="how many to show")


def rollouts(call: Call) -> None:
    """Print rollouts of a run."""
    from ..reports.terminal import print_rollouts

    options = call.options
    with one_message("rollouts"):
        print_rollouts(options.run, options.count, options.when, options.reason, options.text, options.sort)
