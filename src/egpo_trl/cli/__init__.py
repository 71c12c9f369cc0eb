"""The command line: `egpo-trl train | clean | sft | …`, each a thin call into another module."""

import difflib
import sys
from collections.abc import Sequence

from .failure import INTERRUPTED, WRONG_USAGE, Failure
from .parsing import CommandParser, prepare_streams, read_call
from .table import COMMANDS, Command, find

__all__ = ["COMMANDS", "Failure", "command_parser", "main", "make_parser", "train"]


def _add_parsers(parent: CommandParser, commands: dict[str, Command], title: str, wanted: str | None) -> None:
    """One parser for each command; only the wanted one gets its options, which may take seconds to import."""
    group = parent.add_subparsers(title=title, metavar=title.upper(), dest=title, parser_class=CommandParser)
    for name, command in commands.items():
        first, _, rest = (wanted or "").partition(" ")
        is_wanted = wanted is None or first == name
        kinds = command.kinds() if is_wanted and not command.subcommands else ()
        parser = group.add_parser(
            name,
            help=command.about,
            description=command.description or command.about,
            dataclass_types=kinds,
            takes_config=command.takes_config,
        )
        if is_wanted and command.arguments is not None:
            command.arguments(parser)
        if is_wanted and command.subcommands:
            _add_parsers(parser, command.subcommands, "suite", rest or None)


def make_parser(wanted: str | None = None) -> CommandParser:
    """
    Parser of all commands.

    Args:
        wanted (`str`, *optional*):
            The command whose options it gets; by default all do, for shell completion.

    Returns:
        [`~argparse.ArgumentParser`]:
            The parser.
    """
    parser = CommandParser(
        prog="egpo-trl",
        description="Train language models to call functions with EGPO (arXiv 2508.05118).",
        epilog="egpo-trl COMMAND --help lists the options. Several processes: accelerate launch train.py --config …",
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    _add_parsers(parser, COMMANDS, "command", wanted)
    return parser


def command_parser(command: str) -> CommandParser:
    """Parser of one command, such as `"train"` or `"evaluate demo"`."""
    parser = make_parser(command)
    for word in command.split():
        (group,) = [action for action in parser._actions if action.nargs == "A..."]
        assert isinstance(group.choices, dict)
        parser = group.choices[word]
    return parser


def _run(argv: list[str]) -> None:
    if argv[:1] == ["--version"]:
        from .. import __version__

        print(f"egpo-trl {__version__}")
        return
    if not argv or argv[0] in ("-h", "--help"):
        make_parser("").print_help()
        return
    known, words = COMMANDS, []
    for word in argv[:2]:
        if not known:
            break
        if word in ("-h", "--help"):
            command_parser(" ".join(words)).print_help()
            return
        if word not in known:
            close = difflib.get_close_matches(word, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" Choose from: {', '.join(known)}."
            kind = "suite" if words else "command"
            raise Failure(
                f"egpo-trl{''.join(f' {one}' for one in words)}: unknown {kind} {word!r}.{hint}", WRONG_USAGE
            )
        words.append(word)
        known = known[word].subcommands
    if known:
        command_parser(" ".join(words)).print_help()
        return
    command = " ".join(words)
    top = make_parser(command)
    (group,) = [action for action in top._actions if action.nargs == "A..."]
    parser = group.choices[words[0]]  # type: ignore[index]
    if len(words) > 1:
        (group,) = [action for action in parser._actions if action.nargs == "A..."]
        parser = group.choices[words[1]]
    find(words).run(read_call(command, top, parser, argv))


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
    prepare_streams()
    try:
        _run(list(sys.argv[1:] if argv is None else argv))
    except Failure as failure:
        print(failure, file=sys.stderr, flush=True)
        raise
    except KeyboardInterrupt as interrupt:
        failure = Failure(str(interrupt) or "egpo-trl: interrupted.", INTERRUPTED)
        print(f"\n{failure}", file=sys.stderr, flush=True)
        raise failure from None
    except BrokenPipeError:  # the reader of a pipe has what it wanted, as with `| head`
        sys.stderr.close()
        raise SystemExit(1) from None


def train(argv: Sequence[str] | None = None) -> None:
    """`egpo-trl train`, for `accelerate launch train.py --config … [--field value …]`; raises as [`main`]."""
    main(["train", *(sys.argv[1:] if argv is None else argv)])
