"""Draws a comparison as grouped bars with confidence intervals, after the paper's Figure 6."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..reports.curves import bar_style, dress_axes, plain_text
from .compare import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GROUP = 0.82  # share of the room of a category that its bars take
_MOST_LABELLED = 24  # bars that get their value written above


def comparison_figure(comparison: Comparison, title: str | None = None) -> "Figure":
    """Figure of a comparison: a group of bars for each category, a bar for each run, with 95 % intervals."""
    from matplotlib.figure import Figure

    rows, runs = comparison.rows, comparison.runs
    width = _GROUP / len(runs)
    figure = Figure(figsize=(max(4.8, 1.6 + 0.42 * len(rows) * (len(runs) + 1)), 3.8), layout="constrained", dpi=140)
    axes = figure.add_subplot()
    labelled = len(rows) * len(runs) <= _MOST_LABELLED
    for number, name in enumerate(runs):
        places = [index - _GROUP / 2 + (number + 0.5) * width for index in range(len(rows))]
        cells = [row.cells[number] for row in rows]
        heights = [100 * cell.score for cell in cells]
        down = [max(0.0, height - 100 * cell.low) for height, cell in zip(heights, cells, strict=True)]
        up = [max(0.0, 100 * cell.high - height) for height, cell in zip(heights, cells, strict=True)]
        axes.bar(
            places, heights, width, label=plain_text(name), yerr=[down, up], capsize=2,
            error_kw={"linewidth": 0.9, "ecolor": "#222222"}, **bar_style(number),
        )  # fmt: skip
        for place, height, above in zip(places, heights, up, strict=True):
            if labelled:
                axes.text(place, height + above + 1, f"{height:.1f}", ha="center", va="bottom", fontsize=6.5)
    dress_axes(axes, title or comparison.suite, "score, %", "")
    axes.set_xticks(range(len(rows)), [plain_text(f"{row.category}\n(n = {row.n:,})") for row in rows], fontsize=8)
    if len(rows) > 8:
        axes.tick_params(axis="x", rotation=60)
    axes.set_ylim(0, max(105, axes.get_ylim()[1]))
    first = next((index for index, row in enumerate(rows) if row.is_aggregate), None)
    if first is not None:
        axes.axvline(first - 0.5, color="#888888", linewidth=0.8, linestyle=(0, (2, 2)))
    figure.legend(loc="outside lower center", ncols=min(4, len(runs)), fontsize=8, frameon=False)
    return figure


def draw_comparison(comparison: Comparison, path: str | Path, title: str | None = None) -> Path:
    """Draw [`comparison_figure`] into a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    comparison_figure(comparison, title).savefig(path)
    return path
