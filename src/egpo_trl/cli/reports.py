"""`egpo-trl curves | report`."""

import argparse
import webbrowser
from collections.abc import Sequence

from .parsing import one_message


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

    from ..reports.curves import draw_curves, name_runs, read_runs

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
        help=r"regular expression for the part of a folder's name that tells seeds apart, such as 'seed\d+$': runs with "
        "equal names without it are seeds of one setting",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="picture to write (.png, .svg, .pdf); default: in the first run")
    parser.add_argument("--title", help="title of the picture")
    options = parser.parse_args(argv)
    with one_message("curves"):
        named = name_runs(options.runs, options.group)
        first = Path(next(iter(named.values()))[0])
        output = options.output or (first if first.is_dir() else first.parent) / "learning_curves.png"
        print(draw_curves(read_runs(named), output, options.title))


def report(argv: Sequence[str] | None = None) -> None:
    """
    Write the report of one or several runs as one HTML file.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments; by default those of the process.

    Raises:
        SystemExit: With one clear message, if the folder holds no log or a broken file.
    """
    from pathlib import Path

    from ..reports.html_report import write_report

    parser = argparse.ArgumentParser(
        "egpo-trl report",
        description="Write the report of a run, finished or not, or of several side by side, as one HTML file.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="output folder of a run, or NAME=RUN,RUN,… for seeds")
    parser.add_argument("--group", metavar="PATTERN", help="as for egpo-trl curves")
    parser.add_argument(
        "--output",
        type=Path,
        help="file to write; default: report.html in the run, or comparison.html in the first",
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    options = parser.parse_args(argv)
    with one_message("report"):
        path = write_report(options.runs, options.output, options.group)
    print(path)
    if options.open:
        webbrowser.open(path.resolve().as_uri())
