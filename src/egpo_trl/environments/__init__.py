"""Environments of multi-turn rows: a small protocol on top of TRL's, and three examples."""

from collections.abc import Callable, Mapping
from typing import Any

from .file_system import FileSystem
from .protocol import ToolEnvironment, reports_errors
from .ticket_desk import TicketDesk
from .trading_account import TradingAccount

EnvironmentFactory = Callable[[], ToolEnvironment]

ENVIRONMENTS: Mapping[str, EnvironmentFactory] = {
    "file_system": FileSystem,
    "ticket_desk": TicketDesk,
    "trading_account": TradingAccount,
}

__all__ = [
    "ENVIRONMENTS",
    "EnvironmentFactory",
    "FileSystem",
    "TicketDesk",
    "ToolEnvironment",
    "TradingAccount",
    "load_environments",
    "reports_errors",
]  # fmt: skip


def load_environments(names: list[str] | None = None) -> dict[str, Any]:
    """
    Environments by name.

    Args:
        names (`list[str]`, *optional*):
            Names of shipped environments, or `package.module:Class` for others, which rows then name in the same way.
            All shipped ones by default.

    Returns:
        `dict`:
            What [`EGPOTrainer`] takes as `environment_factory`.

    Raises:
        ValueError: If the environment does not exist.
    """
    import importlib

    factories: dict[str, Any] = {}
    for name in names or ENVIRONMENTS:
        if name in ENVIRONMENTS:
            factories[name] = ENVIRONMENTS[name]
            continue
        module, _, attribute = name.partition(":")
        try:
            factories[name] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"environments: {name!r} is neither one of {list(ENVIRONMENTS)} nor a class named as "
                f"'package.module:Class' ({error})."
            ) from None
    return factories
