"""Rewards of function calling: one reply, a whole rollout, and a guard around rewards of your own."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .guard import guard_reward
    from .tool_call import ToolCallReward, tool_call_reward
    from .trajectory import TrajectoryReward

_EXPORTS = {
    "ToolCallReward": "tool_call",
    "TrajectoryReward": "trajectory",
    "guard_reward": "guard",
    "tool_call_reward": "tool_call",
}

__all__ = ["ToolCallReward", "TrajectoryReward", "guard_reward", "tool_call_reward"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} does not export {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
