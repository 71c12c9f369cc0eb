"""Measures a policy on held-out rows: several samples of each at temperature 1, and greedy."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from egpo_trl.environments import ENVIRONMENTS
from egpo_trl.evaluation.exact_match import judge_rows
from egpo_trl.evaluation.rollouts import judge_rollouts
from egpo_trl.grpo.shared_prefill import shared_prefill
from egpo_trl.rewards.tool_call import ToolCallReward
from egpo_trl.rewards.trajectory import TrajectoryReward

from .tasks import Task

BATCH = 160
SEED = 12345


def scores(
    task: Task, model: Any, tokenizer: Any, rows: Sequence[Mapping[str, Any]], temperature: float
) -> list[float]:
    sampling = {"temperature": temperature, "batch_size": BATCH, "seed": SEED}
    if task.tool_rounds is None:
        judged = judge_rows(
            model, tokenizer, rows, ToolCallReward(), max_new_tokens=task.max_completion_length, **sampling
        )
    else:
        limits = {"max_completion_length": task.max_completion_length, "max_tool_rounds": task.tool_rounds}
        reward = TrajectoryReward(ENVIRONMENTS, ToolCallReward())
        judged = judge_rollouts(model, tokenizer, rows, reward, ENVIRONMENTS, **limits, **sampling)
    return [item.score for item in judged]


def measure(task: Task, model: Any, tokenizer: Any, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The metrics of a policy, as shares."""
    repeated = [row for row in rows for _ in range(task.samples)]
    with shared_prefill(model):
        sampled = torch.tensor(scores(task, model, tokenizer, repeated, 1.0)).view(len(rows), task.samples)
        greedy = scores(task, model, tokenizer, rows, 0.0)
    return {
        "exact_t1": round(sampled.mean().item(), 5),
        "pass_at_k": round(sampled.amax(dim=1).mean().item(), 5),
        "greedy": round(sum(greedy) / len(greedy), 5),
    }
