"""The design that docs/study_plan.md freezes: arms with the values to tune, tasks with their warm starts and pairs."""

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Knob(NamedTuple):
    """What an arm tunes."""

    name: str
    values: tuple[float, float, float]


class Size(NamedTuple):
    """How many warm starts and pairs a task has."""

    warm_starts: int
    pairs: int


_LAMBDA = Knob("λ", (0.1, 0.4, 1.6))
ARMS = {
    "grpo": Knob("learning rate", (1e-4, 2e-4, 4e-4)),
    "egpo_token": _LAMBDA,
    "egpo_sequence": _LAMBDA,
    "unclipped": _LAMBDA,
    "positive_only": _LAMBDA,
    "placebo": _LAMBDA,
    "entropy_loss": Knob("entropy_coef", (0.001, 0.005, 0.025)),
    "sft": Knob("learning rate", (1e-4, 4e-4, 1.6e-3)),
}
BASE, SUPERVISED = "grpo", "sft"
TASKS = {"single_turn": Size(4, 16), "multi_turn": Size(4, 8), "sparse": Size(3, 6), "distractors": Size(3, 6)}
MAIN = "single_turn"
TUNING_PAIRS = ((0, 101), (1, 102))  # warm start and seed


def warm_start_of(task: str, pair: int) -> int:
    """Number of the warm start of a pair; pairs count from 1."""
    return (pair - 1) % TASKS[task].warm_starts
