"""Runs the command line: `egpo-trl train | clean | sft | …`."""

import sys
from collections.abc import Sequence

from .failure import INTERRUPTED, Failure

__all__ = ["Failure", "main", "train"]


def main(argv: Sequence[str] | None = None) -> None:
    """
    Entry point of `egpo-trl`.

    Args:
        argv (`Sequence[str]`, *optional*):
            Words after the program's name; by default those of the process.

    Raises:
        Failure: With one message, after it was printed. Its exit code is 2 for wrong usage, 1 for anything else that is
            wrong with the input, and 130 after Ctrl-C.
    """
    try:
        from .commands import run  # imports the parser of TRL, which Ctrl-C may end

        run(list(sys.argv[1:] if argv is None else argv))
    except Failure as failure:
        print(failure, file=sys.stderr, flush=True)
        raise
    except KeyboardInterrupt as interrupt:
        ended = Failure(str(interrupt) or "egpo-trl: interrupted.", INTERRUPTED)
        print(f"\n{ended}", file=sys.stderr, flush=True)
        raise ended from None
    except BrokenPipeError:  # the reader of a pipe has what it wanted, as with `| head`
        sys.stderr.close()
        raise SystemExit(1) from None


def train(argv: Sequence[str] | None = None) -> None:
    """`egpo-trl train`, for `accelerate launch train.py --config … [--field value …]`; raises as [`main`]."""
    main(["train", *(sys.argv[1:] if argv is None else argv)])
