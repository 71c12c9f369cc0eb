"""Train language models to call functions with entropy-guided exploration (EGPO, arXiv 2508.05118) on TRL."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .egpo_config import EGPOConfig
    from .egpo_trainer import EGPOTrainer
    from .reports.curves import draw_curves
    from .reports.html_report import write_html_report
    from .reports.notebook import show_completions, show_report
    from .rewards.guard import guard_reward
    from .rewards.tool_call import ToolCallReward, tool_call_reward
    from .rewards.trajectory import TrajectoryReward
    from .rollouts.tool_pool import ExecutedTool
    from .runs.callbacks import ConsoleCallback, LogFileCallback
    from .runs.held_out import evaluate_held_out
    from .runs.held_out_callback import HeldOutCallback
    from .runs.rollout_log import RolloutLogCallback
    from .runs.watching import watch

# Public name -> module that defines it. Loaded on first use, so that `import egpo_trl` does not import torch.
_EXPORTS = {
    "ConsoleCallback": "runs.callbacks",
    "EGPOConfig": "egpo_config",
    "EGPOTrainer": "egpo_trainer",
    "ExecutedTool": "rollouts.tool_pool",
    "HeldOutCallback": "runs.held_out_callback",
    "LogFileCallback": "runs.callbacks",
    "RolloutLogCallback": "runs.rollout_log",
    "ToolCallReward": "rewards.tool_call",
    "TrajectoryReward": "rewards.trajectory",
    "draw_curves": "reports.curves",
    "evaluate_held_out": "runs.held_out",
    "guard_reward": "rewards.guard",
    "tool_call_reward": "rewards.tool_call",
    "show_completions": "reports.notebook",
    "show_report": "reports.notebook",
    "watch": "runs.watching",
    "write_html_report": "reports.html_report",
}

__all__ = [
    "ConsoleCallback",
    "EGPOConfig",
    "EGPOTrainer",
    "ExecutedTool",
    "HeldOutCallback",
    "LogFileCallback",
    "RolloutLogCallback",
    "ToolCallReward",
    "TrajectoryReward",
    "__version__",
    "draw_curves",
    "evaluate_held_out",
    "guard_reward",
    "show_completions",
    "show_report",
    "tool_call_reward",
    "watch",
    "write_html_report",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} does not export {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
