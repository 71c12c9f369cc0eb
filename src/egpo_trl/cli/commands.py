"""Reads the command from a command line, makes its parser, and runs it."""

import difflib
import sys
from argparse import SUPPRESS
from collections.abc import Sequence

from .failure import WRONG_USAGE, Failure
from .parsing import CommandParser, prepare_streams, read_call
from .table import COMMANDS, Command, find


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
        )
        if is_wanted:
            command.add_arguments(parser)
        if is_wanted and command.subcommands:
            _add_parsers(parser, command.subcommands, "suite", rest or None)


def make_parser(wanted: str | None = None) -> CommandParser:
    """Parser of all commands."""
    parser = CommandParser(
        prog="egpo-trl",
        description="Train language models to call functions with EGPO (arXiv 2508.05118).",
        epilog="egpo-trl COMMAND --help lists the options. Several processes: accelerate launch train.py --config …",
    )
    parser.add_argument("--version", action="store_true", default=SUPPRESS, help="show the version and exit")
    _add_parsers(parser, COMMANDS, "command", wanted)
    return parser


def _parser_in(parser: CommandParser, command: str) -> CommandParser:
    """Parser of a command within that of all commands."""
    for word in command.split():
        choices = next(action.choices for action in parser._actions if isinstance(action.choices, dict))
        parser = choices[word]
    return parser


def command_parser(command: str) -> CommandParser:
    """Parser of one command, such as `"train"` or `"evaluate demo"`."""
    return _parser_in(make_parser(command), command)


def _command_of(argv: Sequence[str]) -> str:
    """The command at the start of a command line; it may be a group such as `evaluate`."""
    known, words = COMMANDS, list[str]()
    for word in argv:
        if not known or word in ("-h", "--help"):
            break
        if word not in known:
            if word.startswith("-"):
                first = " ".join(["egpo-trl", *words])
                raise Failure(f"{first}: name one of {', '.join(known)} before {word}.", WRONG_USAGE)
            close = difflib.get_close_matches(word, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" Choose from: {', '.join(known)}."
            prog, kind = " ".join(["egpo-trl", *words]), "suite" if words else "command"
            raise Failure(f"{prog}: unknown {kind} {word!r}.{hint}", WRONG_USAGE)
        words.append(word)
        known = known[word].subcommands
    return " ".join(words)


def run(argv: list[str]) -> None:
    """Run a command line; raises what [`~egpo_trl.cli.main`] turns into an exit code."""
    prepare_streams()
    if argv[:1] == ["--version"]:
        from .. import __version__

        print(f"egpo-trl {__version__}")
        return
    command = _command_of(argv)
    if not command or find(command).subcommands:
        parser = command_parser(command) if command else make_parser("")
        if {"-h", "--help"} & set(argv):
            parser.print_help()
        else:
            parser.print_help(sys.stderr)
            raise Failure(f"{parser.prog}: name a {'suite' if command else 'command'}.", WRONG_USAGE)
    else:
        top = make_parser(command)
        find(command).run(read_call(command, top, _parser_in(top, command), argv))
