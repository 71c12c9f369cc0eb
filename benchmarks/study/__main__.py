"""Command line of the study.

python -m benchmarks.study run --jobs 2    runs what is missing; stop and start it at any time
python -m benchmarks.study status          says how far it is
python -m benchmarks.study report          writes docs/study.md and its figures from the CSV files
"""

import argparse
import json
import sys
from pathlib import Path

from .runner import RESULTS, STOP, WORK, do_one, print_status, run_all
from .store import Store


def main(argv: list[str] | None = None) -> int:
    """Run a command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=WORK, help="folder of warm starts, logs and unfinished work")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV files")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run what is missing")
    run.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    run.add_argument("--most", type=int, help="stop after so many runs")
    commands.add_parser("status", help="say how far it is")
    commands.add_parser("report", help="write the page and its figures")
    one = commands.add_parser("one", help="one run, as `run` starts it")
    one.add_argument("run")
    arguments = parser.parse_args(argv)
    store = Store(arguments.results, arguments.work)
    if arguments.command == "run":
        run_all(store, arguments.jobs, arguments.most)
    elif arguments.command == "status":
        print_status(store)
    elif arguments.command == "report":
        from .page import write_page

        write_page(store.results)
    else:
        from .one_run import train_and_measure
        from .order import Run
        from .warm_starts import WarmStartError

        fields, rate, seconds = json.loads(arguments.run)
        try:
            return do_one(Run(**fields), rate, seconds, store, train_and_measure)
        except WarmStartError as error:
            print(error)
            return STOP
    return 0


if __name__ == "__main__":
    sys.exit(main())
