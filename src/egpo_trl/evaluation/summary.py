"""Sums up an evaluation: scores with intervals by category and in total, pass@k and reasons."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..utils.table import Table
from .intervals import combined_interval, mean_interval, pass_at_k
from .records import Scored

_MOST_REASONS = 20
_MOST_COLUMNS = 8  # categories that the table of reasons shows one by one

Aggregates = Callable[[Mapping[str, int]], Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class SummaryRow:
    category: str
    n: int
    score: float
    low: float
    high: float
    weights: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Summary:
    """The results of an evaluation."""

    rows: Sequence[SummaryRow]
    samples: int = 1
    pass_at_k: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    gold: Mapping[str, float] = field(default_factory=dict)

    def table(self) -> Table:
        gold = ["gold, %"] if self.gold else []
        columns = ["category", "n", "score, %", "95 % interval", *(f"pass@{k}, %" for k in self.pass_at_k), *gold]
        lines = []
        for row in self.rows:
            cells = [
                row.category,
                f"{row.n:,}",
                f"{100 * row.score:.1f}",
                f"{100 * row.low:.1f} to {100 * row.high:.1f}",
            ]
            cells += [f"{100 * values[row.category]:.1f}" for values in self.pass_at_k.values()]
            lines.append(cells + ([f"{100 * self.gold[row.category]:.1f}"] if self.gold else []))
        return Table(columns, lines, [number for number, row in enumerate(self.rows) if row.weights is not None])

    def markdown(self) -> str:
        """Scores, reasons and notes as Markdown."""
        return f"{self.table().markdown()}\n\n{self._reasons()}" + "".join(f"\n\n{note}" for note in self.notes) + "\n"

    def _reasons(self) -> str:
        total = Counter[str]()
        for counts in self.reasons.values():
            total.update(counts)
        shown = list(self.reasons) if len(self.reasons) <= _MOST_COLUMNS else []
        lines = [
            [reason, f"{count:,}", *(f"{self.reasons[name].get(reason, 0):,}" for name in shown)]
            for reason, count in total.most_common(_MOST_REASONS)
        ]
        text = Table(["reason", "samples", *shown], lines).markdown()
        hidden = total.most_common()[_MOST_REASONS:]
        if hidden:
            text += f"\n\n{len(hidden)} other reasons: {sum(count for _, count in hidden):,} samples."
        return text

    def print(self, title: str) -> None:
        self.table().print(title)
        for note in self.notes:
            print(note)


def scores_by_item(scored: Sequence[Scored]) -> dict[str, dict[str, list[float]]]:
    by_item: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in scored:
        by_item[one.category][one.id].append(one.score)
    return by_item


def default_ks(samples: int) -> list[int]:
    """Powers of 2 up to the number of samples, and that number."""
    return sorted({2**power for power in range(samples.bit_length()) if 2**power <= samples} | {samples})


def summarize(scored: Sequence[Scored], aggregates: Aggregates) -> Summary:
    if not scored:
        raise ValueError("There is nothing to sum up: no item was scored.")
    by_item = scores_by_item(scored)
    rows = []
    for category, items in by_item.items():
        means = [sum(scores) / len(scores) for scores in items.values()]
        rows.append(SummaryRow(category, len(items), sum(means) / len(means), *mean_interval(means)))
    own = {row.category: row for row in rows}
    sums = aggregates({row.category: row.n for row in rows})
    for name, weights in sums.items():
        parts = [own[category] for category in weights]
        interval = combined_interval(
            list(weights.values()), [part.score for part in parts], [(part.low, part.high) for part in parts]
        )
        score = math.fsum(weight * part.score for weight, part in zip(weights.values(), parts, strict=True))
        rows.append(SummaryRow(name, sum(part.n for part in parts), score, *interval, dict(weights)))
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for one in scored:
        reasons[one.category][one.reason] += 1
    samples = max(len(scores) for items in by_item.values() for scores in items.values())
    return Summary(
        rows,
        samples,
        _pass_at_ks(by_item, sums, samples),
        {name: dict(c.most_common()) for name, c in reasons.items()},
    )


def _pass_at_ks(
    by_item: Mapping[str, Mapping[str, Sequence[float]]], sums: Mapping[str, Mapping[str, float]], samples: int
) -> dict[int, dict[str, float]]:
    every = [scores for items in by_item.values() for scores in items.values()]
    if samples < 2 or any(len(scores) != samples or not {0, 1}.issuperset(scores) for scores in every):
        return {}
    found: dict[int, dict[str, float]] = {}
    for k in default_ks(samples):
        values = {
            category: sum(pass_at_k(samples, round(sum(scores)), k) for scores in items.values()) / len(items)
            for category, items in by_item.items()
        }
        totals = {
            name: sum(weight * values[part] for part, weight in weights.items()) for name, weights in sums.items()
        }
        found[k] = values | totals
    return found
