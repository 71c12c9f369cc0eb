"""The tasks of the study, with every setting that its plan freezes."""

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .design import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "demo_policy"))  # its modules import each other by their plain names

import demonstrations
import multi_turn_demonstrations
from warm_start import Example, encode_queries, encode_scenarios

from egpo_trl.demo import multi_turn_world, world

from . import distractors

HELD_OUT_SEED = 7

# Right answers with the thought of the best style: what supervised training reads.
RIGHT = demonstrations.Manner({"bind": 1.0}, {"bind": 0.0})
RIGHT_ROLLOUTS = multi_turn_demonstrations.Manner({"careful": 1.0}, *({"careful": 0.0},) * 3)


@dataclass(frozen=True)
class Task:
    """A task: its rows and the size of a run."""

    name: str
    draw: Callable[[int, int, str], Sequence[Any]]  # number, seed and split to queries or scenarios
    encode_right: Callable[[Any, random.Random, Sequence[Any]], list[Example]]
    steps: int
    prompts: int  # of a step, each with 8 rollouts
    max_completion_length: int
    tuning_rows: int = 0
    test_rows: int = 400
    samples: int = 8  # of each held-out row, at temperature 1
    tool_rounds: int | None = None  # `None`: no tool is executed

    def rows(self, sources: Sequence[Any], name: str) -> list[dict[str, Any]]:
        """Rows of queries or scenarios."""
        return [source.row(f"{self.name}-{name}-{index}") for index, source in enumerate(sources)]

    def training_sources(self, seed: int) -> Sequence[Any]:
        """What a run trains on: as many prompts as its steps take, each once."""
        return self.draw(self.steps * self.prompts, seed, "train")

    def held_out_rows(self, tuning: bool) -> list[dict[str, Any]]:
        """Rows for tuning, or other ones for the measurement."""
        drawn = self.draw(self.tuning_rows + self.test_rows, HELD_OUT_SEED, "test")
        part = drawn[: self.tuning_rows] if tuning else drawn[self.tuning_rows :]
        return self.rows(part, "tuning" if tuning else "test")


def _right_answers(tokenizer: Any, rng: random.Random, queries: Sequence[Any]) -> list[Example]:
    return encode_queries(tokenizer, rng, queries, lambda rng, query: demonstrations.demonstrate(rng, query, RIGHT))


def _right_searches(tokenizer: Any, rng: random.Random, queries: Sequence[Any]) -> list[Example]:
    def write(rng: random.Random, query: Any) -> str:
        return distractors.demonstrate_search(rng, query, RIGHT)

    return encode_queries(tokenizer, rng, queries, write)


def _right_rollouts(tokenizer: Any, rng: random.Random, scenarios: Sequence[Any]) -> list[Example]:
    def write(rng: random.Random, scenario: Any) -> list[Any]:
        return multi_turn_demonstrations.demonstrate(rng, scenario, RIGHT_ROLLOUTS)

    return encode_scenarios(tokenizer, rng, scenarios, write, stepwise_share=0.0)


_TASKS = (
    Task("single_turn", world.make_queries, _right_answers, steps=30, prompts=16, max_completion_length=112,
         tuning_rows=400),
    Task("multi_turn", multi_turn_world.make_scenarios, _right_rollouts, steps=30, prompts=8, max_completion_length=208,
         tool_rounds=6, samples=4),
    Task("sparse", world.make_queries, _right_answers, steps=40, prompts=16, max_completion_length=112),
    Task("distractors", distractors.make_queries, _right_searches, steps=30, prompts=8, max_completion_length=256),
)  # fmt: skip
TASKS = {task.name: task for task in _TASKS}
