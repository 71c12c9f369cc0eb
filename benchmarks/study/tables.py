"""Formats numbers and Markdown tables."""

import math
from collections.abc import Sequence


def points(value: float) -> str:
    """A score in per cent."""
    return "–" if math.isnan(value) else f"{value:.1f}"


def signed(value: float) -> str:
    """A difference in points, with its sign."""
    return "–" if math.isnan(value) else f"{value:+.1f}".replace("-", "−")


def number(p: float) -> str:
    """A p-value."""
    if math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
