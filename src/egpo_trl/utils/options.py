"""[`option`]: a field of a config with its help, and the checks of fields that all configs share."""

from collections.abc import Sequence
from dataclasses import MISSING, field, fields
from typing import Any


def option(help: str, default: Any = MISSING, choices: Sequence[Any] | None = None) -> Any:
    """A field of a data class that is also an option of a command; required without a default."""
    return field(default=default, metadata={"help": help, **({"choices": choices} if choices else {})})


def check_choices(config: Any) -> None:
    """Raise `ValueError` if the value of a field is not one of its choices."""
    for one in fields(config):
        choices, value = one.metadata.get("choices"), getattr(config, one.name)
        if choices and value not in choices and not (value is None and one.default is None):
            raise ValueError(f"{one.name} must be one of {', '.join(map(str, choices))}, got {value!r}.")


def check_least(config: Any, least: int, *names: str) -> None:
    """Raise `ValueError` if a field that is set is smaller than the least value."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")
