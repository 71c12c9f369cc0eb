"""The table of an evaluation: scores with intervals by category, what sums them up, pass@k and reasons."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .intervals import combined_interval, mean_interval, pass_at_k
from .records import Scored

_MOST_REASONS = 20
_MOST_COLUMNS = 8  # categories that the table of reasons shows one by one

Aggregates = Callable[[Mapping[str, int]], Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class SummaryRow:
    """
    One row of the table.

    Args:
        category (`str`):
            Category, or name of what sums up several.
        n (`int`):
            Items.
        score (`float`):
            Mean score, between 0 and 1.
        low (`float`):
            Lower end of the 95 % confidence interval.
        high (`float`):
            Upper end.
        weights (`Mapping[str, float]`, *optional*):
            Weights of the categories that the row sums up; `None` for a category.
    """

    category: str
    n: int
    score: float
    low: float
    high: float
    weights: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Summary:
    """
    What an evaluation found.

    Args:
        rows (`Sequence[SummaryRow]`):
            The categories, then what sums them up.
        samples (`int`):
            Samples of each item.
        pass_at_k (`Mapping[int, Mapping[str, float]]`):
            By k, pass@k of each row; empty with one sample each or scores between 0 and 1.
        reasons (`Mapping[str, Mapping[str, int]]`):
            By category, how many samples got each reason.
        extra (`Mapping[str, Any]`):
            Anything else that the suite reports, as JSON values.
        notes (`Sequence[str]`):
            Lines of text to stand below the table.
    """

    rows: Sequence[SummaryRow]
    samples: int = 1
    pass_at_k: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def markdown(self) -> str:
        """The tables as Markdown, scores in percent."""
        lines = ["| category | n | score, % | 95 % interval |" + "".join(f" pass@{k}, % |" for k in self.pass_at_k)]
        lines.append("|---|---:|---:|---:|" + "---:|" * len(self.pass_at_k))
        for row in self.rows:
            name = row.category if row.weights is None else f"**{row.category}**"
            cells = [name, f"{row.n:,}", f"{100 * row.score:.1f}", f"{100 * row.low:.1f} to {100 * row.high:.1f}"]
            cells += [f"{100 * values[row.category]:.1f}" for values in self.pass_at_k.values()]
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", *self._reason_lines()]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)]) + "\n"

    def _reason_lines(self) -> list[str]:
        total = Counter[str]()
        for counts in self.reasons.values():
            total.update(counts)
        shown = list(self.reasons) if len(self.reasons) <= _MOST_COLUMNS else []
        header = ["reason", "samples", *map(_cell, shown)]
        lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
        for reason, count in total.most_common(_MOST_REASONS):
            cells = [_cell(reason), f"{count:,}", *(f"{self.reasons[name].get(reason, 0):,}" for name in shown)]
            lines.append("| " + " | ".join(cells) + " |")
        hidden = total.most_common()[_MOST_REASONS:]
        if hidden:
            lines += ["", f"{len(hidden)} other reasons: {sum(count for _, count in hidden):,} samples."]
        return lines

    def print(self, title: str) -> None:
        """Print the table of scores and the notes; the rest is in the files."""
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=f"{escape(title)}, in %")
        table.add_column("category")
        for name in ("n", "score", "95 % interval", *(f"pass@{k}" for k in self.pass_at_k)):
            table.add_column(name, justify="right")
        for row in self.rows:
            cells = [f"{row.n:,}", f"{100 * row.score:.1f}", f"{100 * row.low:.1f} to {100 * row.high:.1f}"]
            cells += [f"{100 * values[row.category]:.1f}" for values in self.pass_at_k.values()]
            table.add_row(escape(row.category), *cells, style="bold" if row.weights is not None else None)
        console = Console()
        console.print(table)
        for note in self.notes:
            console.print(escape(note), highlight=False, soft_wrap=True)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def scores_by_item(scored: Sequence[Scored]) -> dict[str, dict[str, list[float]]]:
    """
    Scores of the samples of each item.

    Args:
        scored (`Sequence[Scored]`):
            All scores.

    Returns:
        `dict[str, dict[str, list[float]]]`:
            By category and item.
    """
    by_item: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in scored:
        by_item[one.category][one.id].append(one.score)
    return by_item


def default_ks(samples: int) -> list[int]:
    """Powers of 2 up to the number of samples, and that number."""
    return sorted({2**power for power in range(samples.bit_length()) if 2**power <= samples} | {samples})


def summarize(scored: Sequence[Scored], aggregates: Aggregates) -> Summary:
    """
    Sum up scores.

    Args:
        scored (`Sequence[Scored]`):
            All scores, the same number for each item.
        aggregates (`Callable`):
            Rows that sum up categories, see [`Suite.aggregates`].

    Returns:
        [`Summary`]:
            A row for each category and each aggregate. Items are what is drawn at random, so that several samples of
            one item do not make the interval narrower than they should.

    Raises:
        ValueError: If there are no scores.
    """
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
