"""What the commands share: fields from a YAML file and flags, and one message for bad input."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def _unknown_fields(names: Sequence[str], known: Sequence[str], where: str) -> str:
    lines = []
    for name in names:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f", did you mean {close[0]!r}?" if close else "."
        lines.append(f"unknown {where} {name!r}{hint}")
    return "\n".join(lines)


def parse(command: str, dataclasses: tuple[Any, ...], argv: Sequence[str] | None) -> list[Any]:
    """One object for each data class, from a YAML config and flags; an unknown field is an error."""
    import yaml
    from trl import TrlParser

    parser = TrlParser(dataclasses, prog=f"egpo-trl {command}")
    known = [action.dest for action in parser._actions]
    try:
        parsed = parser.parse_args_and_config(argv, return_remaining_strings=True, separate_remaining_strings=True)
    except (ValueError, TypeError, OSError, yaml.YAMLError) as error:
        raise SystemExit(f"egpo-trl {command}: {error}") from None
    *objects, in_file, on_line = list(parsed)
    unknown = [
        _unknown_fields([word[2:] for word in words if word.startswith("--")], known, where)
        for words, where in ((in_file, "field in the config file"), (on_line, "option"))
        if words
    ]
    stray = [word for words in (in_file, on_line) for word in words[:1] if not word.startswith("--")]
    unknown += [f"what is {word!r}? Options are written --field value." for word in stray]
    if unknown:
        raise SystemExit(f"egpo-trl {command}: " + "\n".join(filter(None, unknown)))
    return objects


@contextmanager
def one_message(command: str, log_level: str | None = None) -> Iterator[None]:
    """What is wrong with the input of a command becomes one message instead of a traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
        if log_level == "debug":
            raise
        hint = "" if log_level is None else "\n(--log_level debug shows where this came from)"
        raise SystemExit(f"egpo-trl {command}: {error}{hint}") from error
