"""Train language models to call functions with entropy-guided exploration (EGPO, arXiv 2508.05118) on TRL."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .egpo_config import EGPOConfig
    from .egpo_trainer import EGPOTrainer
    from .rewards.guard import guard_reward
    from .rewards.tool_call import ToolCallReward, tool_call_reward
    from .rewards.trajectory import TrajectoryReward
    from .rollouts.tool_pool import ExecutedTool

# Public name -> module that defines it. Loaded on first use, so that `import egpo_trl` does not import torch.
_EXPORTS = {
    "EGPOConfig": "egpo_config",
    "EGPOTrainer": "egpo_trainer",
    "ExecutedTool": "rollouts.tool_pool",
    "ToolCallReward": "rewards.tool_call",
    "TrajectoryReward": "rewards.trajectory",
    "guard_reward": "rewards.guard",
    "tool_call_reward": "rewards.tool_call",
}

__all__ = [
    "EGPOConfig",
    "EGPOTrainer",
    "ExecutedTool",
    "ToolCallReward",
    "TrajectoryReward",
    "__version__",
    "guard_reward",
    "tool_call_reward",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
