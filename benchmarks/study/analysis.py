"""Reads the CSV files of the study into score matrices and computes what the page shows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from .design import ARMS, BASE, MAIN, TASKS, warm_start_of
from .order import chosen_value, is_good
from .statistics import Array, bootstrap, compare, improvement, iqm, paired, profile
from .store import read_csv

PRIMARY = "exact_t1"
SHARES = ("exact_t1", "greedy", "pass_at_k", "auc_reward", "clipped")  # shown in per cent
SECONDARY = (
    "greedy",
    "pass_at_k",
    "auc_reward",
    "cot_length",
    "cot_entropy",
    "bonus_over_advantage",
    "clipped",
    "train_seconds",
)
CONTRASTS = ("placebo", "unclipped", "positive_only", "egpo_sequence")  # each beside egpo_token
THRESHOLDS = np.arange(0.0, 100.5, 0.5)
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """The finished runs."""

    rows: Mapping[str, Row]
    curves: Mapping[str, Row]
    warm_starts: Sequence[Row]

    def pairs(self, task: str) -> list[int]:
        """Pairs of a task with a good run of every arm."""
        done: dict[int, set[str]] = {}
        for row in self.fresh(task):
            if is_good(row):
                done.setdefault(int(row["seed"]), set()).add(row["arm"])
        return sorted(pair for pair, arms in done.items() if arms >= set(ARMS))

    def fresh(self, task: str) -> list[Row]:
        """The fresh runs of a task."""
        return [row for row in self.rows.values() if row["stage"] == "fresh" and row["task"] == task]

    def values(self, task: str, arm: str, metric: str, pairs: Iterable[int]) -> Array:
        """A metric of one arm by pair; shares in per cent."""
        by_pair = {int(row["seed"]): row for row in self.fresh(task) if row["arm"] == arm}
        scale = 100.0 if metric in SHARES else 1.0
        cells = [by_pair[pair][metric] for pair in pairs]
        return np.array([scale * float(cell) if cell not in ("", None) else np.nan for cell in cells])

    def scores(self, task: str) -> dict[str, Array]:
        """The primary metric of every arm over the complete pairs."""
        return {arm: self.values(task, arm, PRIMARY, self.pairs(task)) for arm in ARMS}

    def tasks(self) -> list[str]:
        """Tasks with at least two complete pairs."""
        return [task for task in TASKS if len(self.pairs(task)) >= 2]

    def is_complete(self) -> bool:
        """Whether every block is finished, without errors."""
        return all(len(self.pairs(task)) == size.pairs for task, size in TASKS.items())


def read_study(results: Path) -> Study:
    """The study from its CSV files."""
    rows = {row["run"]: row for row in read_csv(results / "runs.csv")}
    curves = {row["run"]: row for row in read_csv(results / "curves.csv")}
    return Study(rows, curves, read_csv(results / "warm_starts.csv"))


def task_table(study: Study, task: str) -> list[dict[str, Any]]:
    """Every arm of a task: its IQM with interval, and its comparison with the base."""
    scores = study.scores(task)
    tests = compare(scores, BASE, [arm for arm in ARMS if arm != BASE])
    rows = []
    for arm in ARMS:
        low, high = bootstrap([scores[arm][:, None]], iqm)
        described = {
            "arm": arm,
            "iqm": iqm(scores[arm]),
            "iqm_low": low,
            "iqm_high": high,
            "score": scores[arm].mean(),
        }
        rows.append({**described, **tests.get(arm, {})})
    return rows


def contrast_table(study: Study) -> dict[str, dict[str, Any]]:
    """EGPO at token level against each arm that takes one of its parts away, on the main task."""
    scores = study.scores(MAIN)
    swapped = {arm: -scores[arm] for arm in (*CONTRASTS, "egpo_token")}  # D = egpo_token - arm
    return compare(swapped, "egpo_token", CONTRASTS)


def by_warm_start(study: Study, task: str) -> dict[str, list[float]]:
    """Mean difference to the base by warm start, for each arm."""
    pairs, scores = study.pairs(task), study.scores(task)
    starts = np.array([warm_start_of(task, pair) for pair in pairs])
    return {
        arm: [float((scores[arm] - scores[BASE])[starts == start].mean()) for start in sorted(set(starts))]
        for arm in ARMS if arm != BASE
    }  # fmt: skip


def over_warm_starts(study: Study, task: str) -> dict[str, float]:
    """p of a t test on the mean differences by warm start, for each arm."""
    return {arm: paired(means).p for arm, means in by_warm_start(study, task).items()}


def over_tasks(study: Study) -> tuple[list[str], int, dict[str, Array]]:
    """Tasks, runs of each, and the score matrix (runs, tasks) of every arm: the first pairs of each task, equally many."""
    tasks = study.tasks()
    runs = min((len(study.pairs(task)) for task in tasks), default=0)
    by_task = [study.scores(task) for task in tasks]
    return tasks, runs, {arm: np.stack([scores[arm][:runs] for scores in by_task], axis=1) for arm in ARMS if by_task}


def overall_table(study: Study) -> list[dict[str, Any]]:
    """IQM over the tasks and probability of improvement over the base, with bootstrap intervals."""
    _, _, scores = over_tasks(study)
    rows = []
    for arm, matrix in scores.items():
        low, high = bootstrap([matrix], iqm)
        better, better_low, better_high = 0.5, 0.5, 0.5
        if arm != BASE:
            better = improvement(matrix, scores[BASE])
            better_low, better_high = bootstrap([matrix, scores[BASE]], improvement)
        rows.append({"arm": arm, "iqm": iqm(matrix), "iqm_low": low, "iqm_high": high,
                     "better": better, "better_low": better_low, "better_high": better_high})  # fmt: skip
    return rows


def profiles(study: Study) -> dict[str, Array]:
    """Performance profile of every arm over [`THRESHOLDS`]."""
    return {arm: profile(matrix, THRESHOLDS) for arm, matrix in over_tasks(study)[2].items()}


def secondary_table(study: Study, task: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation of each secondary metric, by arm."""
    pairs = study.pairs(task)
    table: dict[str, dict[str, tuple[float, float]]] = {}
    for arm in ARMS:
        values = {metric: study.values(task, arm, metric, pairs) for metric in SECONDARY}
        table[arm] = {metric: (float(cells.mean()), float(cells.std(ddof=1))) for metric, cells in values.items()}
    return table


def tuning_table(study: Study) -> dict[str, tuple[dict[float, list[float]], float | None]]:
    """Scores of the finished tuning runs by value of the knob, and the value chosen, for each arm."""
    table = {}
    for arm, knob in ARMS.items():
        found: dict[float, list[float]] = {value: [] for value in knob.values}
        for row in study.rows.values():
            if row["stage"] == "tuning" and row["arm"] == arm and is_good(row):
                found[float(row["value"])].append(100 * float(row[PRIMARY]))
        table[arm] = (found, chosen_value(arm, study.rows))
    return table


def spread(study: Study, task: str) -> tuple[float, float]:
    """Mean standard deviation of the differences to the base, and of single runs, over the arms."""
    scores = study.scores(task)
    others = [arm for arm in ARMS if arm != BASE]
    differences = fmean(float((scores[arm] - scores[BASE]).std(ddof=1)) for arm in others)
    return differences, fmean(float(values.std(ddof=1)) for values in scores.values())


def mean_curve(study: Study, task: str, arm: str, name: str = "reward") -> Array:
    """Curve of a training metric, mean over the complete pairs; empty for an arm without rewards."""
    pairs = set(study.pairs(task))
    runs = [row["run"] for row in study.fresh(task) if row["arm"] == arm and int(row["seed"]) in pairs]
    curves = [[float(cell) for cell in study.curves[run][name].split(" ")] for run in runs if run in study.curves]
    return np.mean(np.array(curves), axis=0) if curves else np.array([])
