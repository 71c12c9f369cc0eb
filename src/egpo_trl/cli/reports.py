"""`egpo-trl curves | report`."""

import argparse
import webbrowser
from pathlib import Path

from .failure import one_message
from .parsing import Call


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


def curves(call: Call) -> None:
    """Draw the learning curves of runs."""
    from ..reports.curves import draw_curves, name_runs, read_runs

    options = call.options
    with one_message("curves"):
        named = name_runs(options.runs, options.group)
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
    with one_message("report"):
        path = write_report(options.runs, options.output, options.group)
    print(path)
    if options.open:
        webbrowser.open(path.resolve().as_uri())
