"""Writes docs/reference.md from the source: every command, flag, config field, metric and reason.

Run as `python docs/generate_reference.py`; a test fails when the file is not what this writes.
"""

import argparse
import dataclasses
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from egpo_trl.cli.commands import COMMANDS, command_parser
from egpo_trl.cli.table import SUITES
from egpo_trl.reports.glossary import METRICS, REASONS

REFERENCE = Path(__file__).with_name("reference.md")
_DOCS = "https://huggingface.co/docs"
_INHERITED = {  # whose fields `egpo-trl train`, `sft` and `plan` take too, and where they are described
    "GRPOConfig": "trl/grpo_trainer#trl.GRPOConfig",
    "SFTConfig": "trl/sft_trainer#trl.SFTConfig",
    "ModelConfig": "trl/clis",
    "TrainingArguments": "transformers/main_classes/trainer#transformers.TrainingArguments",
}
_HEAD = """\
# Reference

Every command, config field, metric and reason code. Generated from the source by `docs/generate_reference.py`; how they
work together: [training](training.md), [rows](data.md), [the reward](reward.md).
"""


def command_lines() -> Iterator[str]:
    """Every command, those with suites once for each suite."""
    for command in COMMANDS:
        yield from (f"{command} {suite}" for suite in SUITES) if command == "evaluate" else [command]


def _meaning(text: str, choices: Sequence[Any] | None) -> str:
    """A help text with the choices that it does not name; of many, where to find them."""
    unnamed = [choice for choice in choices or () if f"'{choice}'" not in text]
    if len(unnamed) > 8:
        return f"{_line(text)} `--help` lists the values."
    return _line(text) + (f" One of {', '.join(map(_code, choices or ()))}." if unnamed else "")


def _line(text: Any) -> str:
    """Text in one cell of a table."""
    return re.sub(r"\s+", " ", str(text)).strip().replace("|", "\\|").replace("<", "&lt;")


def _code(value: Any) -> str:
    text = re.sub(r"\s+", " ", str(value)).replace("|", "\\|")
    return f"`{text}`" if text else "`''`"


def _link(name: str) -> str:
    return f"[`{name}`]({_DOCS}/{_INHERITED[name]})" if name in _INHERITED else f"[`{name}`](#{name.lower()})"


def _table(header: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [" | ".join(row) for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING:
        return "required"
    return "none" if value is None else _code(str(value).lower() if isinstance(value, bool) else value)


def _fields(kind: type) -> str:
    """Table of the fields that a data class defines itself."""
    names = [field for field in dataclasses.fields(kind) if field.name in kind.__annotations__]
    return _table(
        ["field", "default", "meaning"],
        (
            [
                f"`{field.name}`",
                _default(field),
                _meaning(field.metadata.get("help", ""), field.metadata.get("choices")),
            ]
            for field in names
        ),
    )


def _flags(parser: argparse.ArgumentParser, without: Collection[str] = ()) -> str:
    actions = [action for action in parser._actions if action.dest not in ("help", "help_all", *without)]

    def default(action: argparse.Action) -> str:
        has_none = action.required or action.default is None or action.default is argparse.SUPPRESS
        return ("required" if action.required else "none") if has_none else _code(action.default)

    return _table(
        ["option", "default", "meaning"],
        (
            [
                ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar or action.dest}`",
                default(action),
                _line(action.help or ""),
            ]
            for action in actions
        ),
    )


def render() -> str:
    """The reference as Markdown."""
    parts = [_HEAD, "## Commands\n"]
    configs: dict[type, list[str]] = {}  # ours, and the commands that take them
    for command in command_lines():
        parser = command_parser(command)
        kinds = parser.dataclass_types
        parts.append(f"### `egpo-trl {command}`\n")
        if not kinds:
            parts += [f"{_line(parser.description or '')}\n", _flags(parser)]
            continue
        for kind in kinds:
            for base in filter(dataclasses.is_dataclass, reversed(kind.__mro__)):
                if base.__module__.startswith("egpo_trl."):
                    configs.setdefault(base, []).append(command)
        names = ", ".join(_link(kind.__name__) for kind in kinds)
        parts.append(f"`--config FILE` (YAML) and `--field value` for every field of {names}.\n")
        own = _flags(parser, {field.name for kind in kinds for field in dataclasses.fields(kind)} | {"config"})
        parts += [own] if own.count("\n") > 2 else []
    parts.append("## Config fields\n")
    for kind, commands in configs.items():
        bases = [base for base in kind.__mro__[1:] if dataclasses.is_dataclass(base)]
        parts += [
            f"### {kind.__name__}\n",
            f"Of {', '.join(f'`egpo-trl {command}`' for command in commands)}"
            + (f"; inherits the fields of {_link(bases[0].__name__)}" if bases else "")
            + ".\n",
            _fields(kind),
        ]
    parts.append("## Metrics\n")
    parts.append("Evaluation logs them with the prefix `eval_`. `*` matches any name.\n")
    parts.append(_table(["metric", "meaning"], ([f"`{name}`", _line(text)] for name, text in METRICS.items())))
    parts.append("## Reasons\n")
    parts.append(_table(["reason", "meaning"], ([f"`{name}`", _line(text)] for name, text in REASONS.items())))
    parts.append("## Inherited config fields\n")
    parts.append("Not repeated here; `egpo-trl train --help-all` and `egpo-trl sft --help-all` print them.\n")
    parts.append("\n".join(f"- [`{name}`]({_DOCS}/{page})" for name, page in _INHERITED.items()) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    REFERENCE.write_text(render(), encoding="utf-8")
    print(REFERENCE)
