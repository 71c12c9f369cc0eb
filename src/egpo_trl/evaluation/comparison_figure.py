"""Draws runs side by side: grouped bars as in the paper's Figure 6, and below them the paired differences."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..reports.curves import bar_style, dress_axes, plain_text
from .compare import Cell, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GROUP = 0.82  # share of the room of a category that its bars take
_MOST_LABELLED = 24  # bars that get their value written above


def comparison_figure(comparison: Comparison, title: str | None = None) -> "Figure":
    """Figure of a comparison: bars for each category and run, below them the differences, with 95 % intervals."""
    from matplotlib.figure import Figure

    rows, runs = comparison.rows, comparison.runs
    width = _GROUP / len(runs)
    size = (max(4.8, 1.6 + 0.42 * len(rows) * (len(runs) + 1)), 5.4)
    figure = Figure(figsize=size, layout="constrained", dpi=140)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 3))
    labelled = len(rows) * len(runs) <= _MOST_LABELLED
    for number, name in enumerate(runs):
        places = [index - _GROUP / 2 + (number + 0.5) * width for index in range(len(rows))]
        cells = [row.cells[number] for row in rows]
        heights = [100 * cell.score for cell in cells]
        down = [max(0.0, height - 100 * cell.low) for height, cell in zip(heights, cells, strict=True)]
        up = [max(0.0, 100 * cell.high - height) for height, cell in zip(heights, cells, strict=True)]
        bars = axes.bar(
            places, heights, width, label=plain_text(name), yerr=[down, up], capsize=2,
            error_kw={"linewidth": 0.9, "ecolor": "#222222"}, **bar_style(number),
        )  # fmt: skip
        for place, height, above in zip(places, heights, up, strict=True):
            if labelled:
                axes.text(place, height + above + 1, f"{height:.1f}", ha="center", va="bottom", fontsize=6.5)
        if number:
            _draw_differences(below, places, cells, bars[0].get_facecolor())
    dress_axes(axes, title or comparison.suite, "score, %", "")
    dress_axes(below, "", f"minus {plain_text(runs[0])}, points", "")
    below.axhline(0, color="#555555", linewidth=0.8)
    below.set_xticks(range(len(rows)), [plain_text(f"{row.category}\n(n = {row.n:,})") for row in rows], fontsize=8)
    if len(rows) > 8:
        below.tick_params(axis="x", rotation=60)
    axes.set_ylim(0, max(105, axes.get_ylim()[1]))
    first = next((index for index, row in enumerate(rows) if row.is_aggregate), None)
    if first is not None:
        for one in (axes, below):
            one.axvline(first - 0.5, color="#888888", linewidth=0.8, linestyle=(0, (2, 2)))
    figure.legend(loc="outside lower center", ncols=min(4, len(runs)), fontsize=8, frameon=False)
    return figure


def _draw_differences(axes: Any, places: Sequence[float], cells: Sequence[Cell], colour: Any) -> None:
    """Differences as marks with their intervals; a filled mark where the interval leaves out 0."""
    for place, cell in zip(places, cells, strict=True):
        low, gap, high = (100 * value for value in (cell.difference_low, cell.difference, cell.difference_high))
        axes.errorbar(
            place, gap, yerr=[[max(0.0, gap - low)], [max(0.0, high - gap)]], fmt="o", markersize=4, capsize=2,
            linewidth=0.9, ecolor="#222222", markeredgecolor="#222222", markeredgewidth=0.7,
            markerfacecolor=colour if cell.is_clear else "white",
        )  # fmt: skip


def draw_comparison(comparison: Comparison, path: str | Path, title: str | None = None) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    comparison_figure(comparison, title).savefig(path)
    return path
