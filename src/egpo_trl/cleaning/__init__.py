"""Data cleaning as in the paper (section 5.1): an LLM evaluates and corrects each row, then an AST evaluation."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import CleaningConfig
    from .judges import Judge, Reply
    from .pipeline import CleaningReport, CleaningStopped, clean

# Loaded on first use, so that the names cost no import of a client or of a model.
_EXPORTS = {
    "CleaningConfig": "config",
    "CleaningReport": "pipeline",
    "CleaningStopped": "pipeline",
    "Judge": "judges",
    "Reply": "judges",
    "clean": "pipeline",
}

__all__ = ["CleaningConfig", "CleaningReport", "CleaningStopped", "Judge", "Reply", "clean"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} does not export {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
