"""Parses the options of a command, from a YAML file and flags."""

import argparse
import dataclasses
import json
import math
import os
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from trl import TrlParser

from .config_file import defaults_from, read_yaml, unknown
from .failure import WRONG_USAGE, Failure, told
from .no_effect import Given, without_effect

Kind = TypeVar("Kind")

# Fields of TRL and transformers that most runs set; --help shows them after ours.
_ESSENTIAL = (
    "model_name_or_path", "dtype", "use_peft", "output_dir", "resume_from_checkpoint", "num_generations", "temperature",
    "max_completion_length", "max_length", "per_device_train_batch_size", "gradient_accumulation_steps",
    "num_train_epochs", "max_steps", "learning_rate", "beta", "use_vllm", "use_cpu", "bf16", "seed", "logging_steps",
    "eval_strategy", "save_strategy", "save_steps", "report_to", "log_level",
)  # fmt: skip


ROWS = "--dataset_name"  # its value may also follow the command, as in `convert FILE`
_SHORT = {"--model_name_or_path": "--model"}  # short forms, the same in every command


def _is_ours(kind: type, name: str) -> bool:
    return any(
        name in vars(base).get("__annotations__", ()) and base.__module__.startswith("egpo_trl.")
        for base in kind.__mro__
    )


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with one spelling of each option."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else None
        value = action.metavar or choices or getattr(action.type, "__name__", "value")
        kinds = {"string_to_bool": "BOOL", "int": "N", "float": "X", "str": "TEXT", "Path": "PATH"}
        names = ", ".join([action.option_strings[0], *(set(action.option_strings) & set(_SHORT.values()))])
        return f"{names} {kinds.get(str(value), value)}{' …' if action.nargs == '+' else ''}"

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, argparse.SUPPRESS) or action.required:
            return action.help
        return super()._get_help_string(action)


class _HelpAll(argparse.Action):
    def __call__(self, parser: Any, *_: Any) -> None:
        parser.shows_all = True
        parser.print_help()
        parser.exit()


class CommandParser(TrlParser):
    """Parser of one command."""

    def __init__(self, dataclass_types: Sequence[type] = (), usage: str | None = None, **kwargs: Any) -> None:
        self.shows_all = False
        kwargs = {"formatter_class": _Formatter, "allow_abbrev": False, **kwargs}
        super().__init__(list(dataclass_types), add_help=False, usage=usage, **kwargs)
        self.add_argument("-h", "--help", action="help", help="show this help and exit")
        if dataclass_types:
            self.add_argument(
                "--config", metavar="FILE",
                help="YAML file with fields, or the name of a recipe (egpo-trl recipes); options override it",
            )  # fmt: skip
        if any(self._inherited()):
            self.add_argument(
                "--help-all", nargs=0, action=_HelpAll, default=argparse.SUPPRESS,
                help="show the fields of TRL and transformers too",
            )  # fmt: skip

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an option, with its short form."""
        action: argparse.Action = super().add_argument(
            *names, *(_SHORT[name] for name in names if name in _SHORT), **options
        )
        return action

    def _fields(self) -> list[tuple[str, bool]]:
        return [
            (field.name, _is_ours(kind, field.name))
            for kind in self.dataclass_types
            for field in dataclasses.fields(kind)
        ]

    def _inherited(self) -> list[str]:
        return [name for name, ours in self._fields() if not ours]

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and one line, with one spelling of each option."""
        message = re.sub(r"(--\w+)(?:/--[\w-]+)+", r"\1", message)
        raise Failure(f"{self.prog}: {message}\n`{self.prog} --help` lists the options.", WRONG_USAGE)

    def format_help(self) -> str:
        """Our own options first, then the most used ones of TRL and transformers, the rest on `--help-all`."""
        inherited = set(self._inherited())
        if not self.dataclass_types:
            return str(super().format_help())
        visible = [action for action in self._actions if not isinstance(action, argparse._StoreFalseAction)]
        ours = [action for action in visible if action.dest not in inherited]
        theirs = [action for action in visible if action.dest in inherited]
        order = {name: place for place, name in enumerate(_ESSENTIAL)}
        essential = sorted(
            (action for action in theirs if action.dest in order), key=lambda action: order[action.dest]
        )
        rest = [action for action in theirs if action.dest not in order]
        formatter = self._get_formatter()
        rows = "[ROWS] " if any(ROWS in action.option_strings for action in ours) else ""
        formatter.add_text(f"usage: {self.prog} {rows}[--config FILE] [--field value …]")
        formatter.add_text(self.description)
        for title, actions in (
            ("options of egpo-trl", ours),
            ("the most used fields of TRL and transformers", essential),
            ("other fields of TRL and transformers", rest if self.shows_all else []),
        ):
            formatter.start_section(title)
            formatter.add_arguments(actions)
            formatter.end_section()
        if rest and not self.shows_all:
            formatter.add_text(f"{len(rest)} more fields of TRL and transformers: {self.prog} --help-all")
        return str(formatter.format_help())


@dataclasses.dataclass(frozen=True)
class Call:
    """A command line, read: the command's name, its options, and which of them were given."""

    command: str
    options: Namespace
    given: Given

    def build(self, *kinds: type[Kind]) -> list[Any]:
        """One object for each data class; a value that it refuses is wrong usage."""
        objects = []
        for name, value in vars(self.options).items():
            if isinstance(value, str) and name.endswith(("_kwargs", "_config")) and value.lstrip().startswith("{"):
                self._check_json(name, value)
        for kind in kinds:
            names = [field.name for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]
            try:
                objects.append(kind(**{name: getattr(self.options, name) for name in names}))
            except (ValueError, TypeError, AttributeError, ImportError, KeyError, OSError) as error:
                if isinstance(error, AttributeError) and error.__context__ is None:
                    raise
                raise Failure(f"egpo-trl {self.command}: {told(error)}", WRONG_USAGE) from error
        return objects

    def _check_json(self, name: str, value: str) -> None:
        try:
            json.loads(value)
        except ValueError as error:
            message = f"egpo-trl {self.command}: {name} is not a JSON object: {error}."
            raise Failure(message, WRONG_USAGE) from None


def _rows_as_option(prog: str, argv: Sequence[str]) -> Sequence[str]:
    """Turn rows that follow the name of the command, as in `convert FILE`, into the option that names them."""
    place = len(prog.split()) - 1
    if place >= len(argv) or argv[place].startswith("-"):
        return argv
    if any(word.partition("=")[0] == ROWS for word in argv):
        raise Failure(f"{prog}: rows are named twice: {argv[place]} and {ROWS}.", WRONG_USAGE)
    return [*argv[:place], ROWS, *argv[place:]]


def read_call(command: str, top: argparse.ArgumentParser, parser: CommandParser, argv: Sequence[str]) -> Call:
    """Read a command line."""
    prog = f"egpo-trl {command}"
    file: set[str] = set()
    if any(action.dest == "config" for action in parser._actions):
        finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        finder.add_argument("--config")
        try:
            path = finder.parse_known_args(argv)[0].config
        except argparse.ArgumentError:
            parser.error("--config needs a file.")
        if path is not None:
            file = _apply_config(path, parser, command)
    strings = {name: action.dest for action in parser._actions for name in action.option_strings}
    if ROWS in strings:
        argv = _rows_as_option(prog, argv)
    flags = [word.partition("=")[0] for word in argv if word.startswith("--")]
    strange = [flag[2:].replace("-", "_") for flag in flags if flag not in strings]
    if strange:
        raise Failure(f"{prog}: {unknown(strange, set(strings.values()), 'option')}", WRONG_USAGE)
    options, rest = top.parse_known_args(argv)
    if rest:
        raise Failure(f"{prog}: unexpected argument {rest[0]!r}. Write options as --field value.", WRONG_USAGE)
    given = Given(file, {strings[word] for word in flags if word in strings})
    useless = without_effect(command, options, given)
    if useless:
        raise Failure(f"{prog}: " + "\n".join(useless), WRONG_USAGE)
    return Call(command, options, given)


def _apply_config(name: str, parser: CommandParser, command: str) -> set[str]:
    from .recipes import recipe_path

    prog = f"egpo-trl {command}"
    try:
        path = recipe_path(name, command.split()[0])
        values = read_yaml(path)
    except (ValueError, OSError) as error:
        raise Failure(f"{prog}: {error}", WRONG_USAGE) from None
    variables = values.pop("env", None) or {}
    if not isinstance(variables, dict):
        raise Failure(f"{prog}: {path}, env: must hold lines of the form `VARIABLE: value`.", WRONG_USAGE)
    os.environ.update({str(key): str(value) for key, value in variables.items()})
    defaults_from(values, parser._actions, str(path), prog)
    return set(values)


def number_type(kind: Callable[[str], Any], low: float, high: float = math.inf) -> Callable[[str], Any]:
    """Type of an option that takes numbers from `low` to `high`."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            most = "" if high == math.inf else f" to {high:g}"
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {low:g}{most or ' up'}.")
        return value

    return read


def prepare_streams() -> None:
    """Let no character that a terminal cannot show end a command, and keep progress bars out of files."""
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")  # read when datasets is imported
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
