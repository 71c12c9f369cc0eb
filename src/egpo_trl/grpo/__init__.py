"""A better GRPO trainer: tools by row and updates without waste. It knows nothing of EGPO and is usable alone."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import LeanGRPOConfig
    from .lean_trainer import LeanGRPOTrainer

_EXPORTS = {"LeanGRPOConfig": "config", "LeanGRPOTrainer": "lean_trainer"}

__all__ = ["LeanGRPOConfig", "LeanGRPOTrainer"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} does not export {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
