"""Compares runs of one suite on the prompts that all of them answered, with paired intervals of the differences."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.table import Table
from .evaluate import SCORES, SUMMARY
from .intervals import combined_interval, mean_interval, paired_interval


@dataclass(frozen=True)
class Run:
    """Mean scores of a finished evaluation by category and item, digests of its items, and weights of its totals."""

    name: str
    suite: str
    scores: Mapping[str, Mapping[str, float]]
    digests: Mapping[str, str]
    aggregates: Mapping[str, Mapping[str, float]]
    folder: Path = Path()


def read_run(name: str, folder: str | Path) -> Run:
    folder = Path(folder)
    again = "Run `egpo-trl evaluate` again with this folder. Finished samples are kept."
    for file in (SUMMARY, SCORES):
        if not (folder / file).is_file():
            raise ValueError(f"{folder} does not hold a finished evaluation ({file} is missing). {again}")
    scores: dict[str, dict[str, list[float]]] = {}
    digests: dict[str, str] = {}
    place = folder / SUMMARY
    try:
        summary = json.loads(place.read_text(encoding="utf-8"))
        suite = str(summary["suite"])
        aggregates = {row["category"]: dict(row["weights"]) for row in summary["rows"] if row["weights"] is not None}
        place = folder / SCORES
        with place.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                place = Path(f"{folder / SCORES}, line {number}")
                one = json.loads(line)
                scores.setdefault(one["category"], {}).setdefault(one["id"], []).append(float(one["score"]))
                digests[one["id"]] = one["item"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{place} is broken ({type(error).__name__}: {error}). {again}") from None
    means = {kind: {item: sum(s) / len(s) for item, s in items.items()} for kind, items in scores.items()}
    return Run(name, suite, means, digests, aggregates, folder)


@dataclass(frozen=True)
class Cell:
    """Score of one run in one row and its difference to the first run, each with its 95 % interval."""

    score: float
    low: float
    high: float
    difference: float = 0.0
    difference_low: float = 0.0
    difference_high: float = 0.0

    @property
    def is_clear(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        return self.difference_low > 0 or self.difference_high < 0


@dataclass(frozen=True)
class ComparedRow:
    category: str
    n: int
    cells: Sequence[Cell]
    is_aggregate: bool = False


@dataclass(frozen=True)
class Comparison:
    """Runs side by side."""

    suite: str
    runs: Sequence[str]
    rows: Sequence[ComparedRow]
    left_out: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def table(self) -> Table:
        """Scores in percent and differences in points; clear differences are bold, see [`Cell.is_clear`]."""
        columns = ["category", "n", self.runs[0]]
        for name in self.runs[1:]:
            columns += [name, f"{name} - {self.runs[0]}"]
        lines = []
        for row in self.rows:
            cells = [row.category, f"{row.n:,}"]
            for number, cell in enumerate(row.cells):
                cells.append(f"{100 * cell.score:.1f} ({100 * cell.low:.1f} to {100 * cell.high:.1f})")
                if number:
                    cells.append(_difference(cell))
            lines.append(cells)
        return Table(columns, lines, [number for number, row in enumerate(self.rows) if row.is_aggregate])

    def print(self) -> None:
        self.table().print(f"{self.suite}: scores in %, differences in points, 95 % intervals")

    def markdown(self) -> str:
        """The table as Markdown, with a note on the intervals."""
        return f"{self.table().markdown()}\n\n{self.note()}\n"

    def note(self) -> str:
        """What the numbers are."""
        note = (
            "Scores in %, differences in points, with 95 % intervals: Wilson's for scores of 0 or 1, else bootstrap; for "
            "differences the one of Bonett and Price (2012) for paired proportions. The interval of a difference is for "
            "one comparison; it is not adjusted for the number of rows."
        )
        if self.left_out:
            note += (
                f" {self.left_out:,} prompts that not all runs answered are left out; rows that sum up categories keep "
                "the weights of the first run."
            )
        return note


def _difference(cell: Cell) -> str:
    text = f"{100 * cell.difference:+.1f} ({100 * cell.difference_low:+.1f} to {100 * cell.difference_high:+.1f})"
    return f"**{text}**" if cell.is_clear else text


def compare_runs(runs: Sequence[Run]) -> Comparison:
    """Compare runs, prompt by prompt, on the prompts that all of them answered."""
    if len(runs) < 2:
        raise ValueError("A comparison needs two runs.")
    first = runs[0]
    for run in runs[1:]:
        if run.suite != first.suite:
            raise ValueError(f"{first.name} is of the suite {first.suite}, {run.name} of {run.suite}.")
        other = next((item for item, told in run.digests.items() if first.digests.get(item, told) != told), None)
        if other is not None:
            raise ValueError(f"{first.name} and {run.name} were asked different things under the id {other!r}.")
    rows: list[ComparedRow] = []
    for category in first.scores:
        common = [item for item in first.scores[category] if all(item in run.scores.get(category, {}) for run in runs)]
        if not common:
            continue
        values = [np.array([run.scores[category][item] for item in common]) for run in runs]
        cells = [Cell(float(values[0].mean()), *mean_interval(values[0].tolist()))]
        cells += [
            Cell(
                float(one.mean()),
                *mean_interval(one.tolist()),
                float((one - values[0]).mean()),
                *paired_interval(one - values[0]),
            )
            for one in values[1:]
        ]
        rows.append(ComparedRow(category, len(common), cells))
    if not rows:
        raise ValueError(f"{', '.join(run.name for run in runs)} do not share a prompt.")
    own = {row.category: row for row in rows}
    for name, weights in first.aggregates.items():
        if all(category in own for category in weights):
            rows.append(_aggregate(name, weights, own, len(runs)))
    everything = {(kind, item) for run in runs for kind, items in run.scores.items() for item in items}
    left_out = len(everything) - sum(row.n for row in own.values())
    return Comparison(first.suite, [run.name for run in runs], rows, left_out)


def _aggregate(name: str, weights: Mapping[str, float], rows: Mapping[str, ComparedRow], num_runs: int) -> ComparedRow:
    shares, cells = list(weights.values()), []
    for number in range(num_runs):
        parts = [rows[category].cells[number] for category in weights]
        score, gap = (
            math.fsum(weight * getattr(one, field) for weight, one in zip(shares, parts, strict=True))
            for field in ("score", "difference")
        )
        interval = combined_interval(shares, [one.score for one in parts], [(one.low, one.high) for one in parts])
        ends = [(one.difference_low, one.difference_high) for one in parts]
        gaps = combined_interval(shares, [one.difference for one in parts], ends)
        cells.append(Cell(score, *interval, gap, *gaps))
    return ComparedRow(name, sum(rows[category].n for category in weights), cells, True)
