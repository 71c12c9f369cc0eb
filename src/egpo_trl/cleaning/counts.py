"""Counts rows after each stage, in the form of the paper's Table 2."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..utils.table import Table


@dataclass
class StageCount:
    """Rows that passed a stage, those that it changed, and those that it dropped, by reason."""

    rows: int = 0
    corrected: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """JSON form, with the most frequent reason first and equal ones by name."""
        reasons = sorted(self.dropped.items(), key=lambda item: (-item[1], item[0]))
        return {"rows": self.rows, "corrected": self.corrected, "dropped": dict(reasons)}


def counts_table(counts: dict[str, dict[str, Any]], titles: dict[str, str]) -> Table:
    """The summary table of a run: a line for each stage, and below it one for each reason."""
    whole = max(1, next(iter(counts.values()))["rows"])
    lines: list[list[str]] = []
    for stage, count in counts.items():
        numbers = [f"{number:,}" if number else "" for number in (count["corrected"], sum(count["dropped"].values()))]
        lines.append([titles[stage], f"{count['rows']:,}", f"{100 * count['rows'] / whole:.2f} %", *numbers])
        lines += [[f"  {reason}", "", "", "", f"{number:,}"] for reason, number in count["dropped"].items()]
    return Table(["stage", "rows", "of input", "corrected", "dropped"], lines)
