"""Runs the official `bfcl` command on result files of ours, with every name as a model of the Qwen kind.

    python -m egpo_trl.evaluation.bfcl.official_cli FOLDER [--handler prompting] evaluate --partial-eval

FOLDER holds `result/`. The command evaluates text of the model with Python's `eval`: run it on result files that you
trust, or in a container.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .package import package_folder
from .stand_ins import HANDLERS, prepare


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m egpo_trl.evaluation.bfcl.official_cli", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder that holds result/")
    parser.add_argument("--handler", choices=tuple(HANDLERS), default="fc", help="handler that reads the results")
    options, words = parser.parse_known_args(argv)
    try:
        package_folder()
    except ValueError as error:
        raise SystemExit(str(error)) from None
    prepare(options.folder.resolve(), options.handler)
    from bfcl_eval.__main__ import cli

    sys.argv = ["bfcl", *words]
    cli()


if __name__ == "__main__":
    main()
