"""The order of the runs: tuning, the choice of the knobs, then blocks of one pair with all arms."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from .design import ARMS, BASE, MAIN, SUPERVISED, TASKS, TUNING_PAIRS, warm_start_of

Rows = Mapping[str, Mapping[str, Any]]  # finished runs by their name


@dataclass(frozen=True)
class Run:
    """One run of the study."""

    stage: str  # "tuning" or "fresh"
    task: str
    arm: str
    value: float  # of the arm's own knob
    warm_start: int
    seed: int

    @property
    def name(self) -> str:
        """What identifies the run, in the CSV and on disk."""
        return f"{self.stage}-{self.task}-{self.arm}-{self.value:g}-w{self.warm_start}-s{self.seed}"


def is_good(row: Mapping[str, Any] | None) -> bool:
    """Whether a run finished, and not with an error."""
    return row is not None and not row.get("error")


def blocks() -> list[tuple[str, int]]:
    """Task and pair of each block, in order."""
    others = {name: size for name, size in TASKS.items() if name != MAIN}
    main, turns = TASKS[MAIN].pairs, max(size.pairs for size in others.values())
    in_turn = [(name, pair) for pair in range(1, turns + 1) for name, size in others.items() if pair <= size.pairs]
    first = [(name, pair) for name, pair in in_turn if pair <= TASKS[name].warm_starts]  # each warm start once
    rest = [block for block in in_turn if block not in first]
    half = main // 2
    return [
        *((MAIN, pair) for pair in range(1, half + 1)), *first,
        *((MAIN, pair) for pair in range(half + 1, main + 1)), *rest,
    ]  # fmt: skip


def tuning_runs(arm: str) -> list[Run]:
    """The tuning runs of an arm."""
    return [
        Run("tuning", MAIN, arm, value, warm_start, seed)
        for warm_start, seed in TUNING_PAIRS
        for value in ARMS[arm].values
    ]


def chosen_value(arm: str, rows: Rows) -> float | None:
    """The value of an arm's knob with the best mean over the tuning runs, the smaller of equals; `None` while runs miss."""
    runs = tuning_runs(arm)
    if not all(run.name in rows for run in runs):
        return None
    means = {
        value: fmean(
            float(rows[run.name]["exact_t1"]) if is_good(rows[run.name]) else 0.0 for run in runs if run.value == value
        )
        for value in ARMS[arm].values
    }
    return max(sorted(means), key=lambda value: round(means[value], 6))


def block_runs(task: str, pair: int, values: Mapping[str, float]) -> list[Run]:
    """The runs of a block, one for each arm."""
    return [Run("fresh", task, arm, values[arm], warm_start_of(task, pair), pair) for arm in ARMS]


def known_runs(rows: Rows) -> Iterator[Run]:
    """All runs that can be named with what is finished, in order: the value of a knob is known after its tuning."""
    base = tuning_runs(BASE)
    yield from base
    if chosen_value(BASE, rows) is None:
        return
    others = [tuning_runs(arm) for arm in ARMS if arm != BASE]
    yield from (run for at_once in zip(*others, strict=True) for run in at_once)
    values = {arm: chosen_value(arm, rows) for arm in ARMS}
    known = {arm: value for arm, value in values.items() if value is not None}
    if len(known) == len(ARMS):
        for task, pair in blocks():
            yield from block_runs(task, pair, known)


def base_of(run: Run, rate: float) -> Run:
    """The run of the base arm on the same pair: its time is that of supervised training."""
    return Run(run.stage, run.task, BASE, rate, run.warm_start, run.seed)


def waiting_runs(rows: Rows) -> list[Run]:
    """Runs that can start now, in order."""
    rate = chosen_value(BASE, rows)

    def is_ready(run: Run) -> bool:
        return run.arm != SUPERVISED or (rate is not None and base_of(run, rate).name in rows)

    return [run for run in known_runs(rows) if run.name not in rows and is_ready(run)]


def total_runs() -> int:
    """How many runs the study has."""
    return sum(len(tuning_runs(arm)) for arm in ARMS) + len(ARMS) * len(blocks())
