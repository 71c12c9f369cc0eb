"""Counts rows after each stage, in the form of the paper's Table 2."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table


@dataclass
class StageCount:
    """Rows that passed a stage, those that it changed, and those that it dropped, by reason."""

    name: str
    rows: int = 0
    corrected: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """JSON form, with the most frequent reason first and equal ones by name."""
        reasons = sorted(self.dropped.items(), key=lambda item: (-item[1], item[0]))
        return {"rows": self.rows, "corrected": self.corrected, "dropped": dict(reasons)}


def counts_table(counts: dict[str, dict[str, Any]], titles: dict[str, str]) -> Table:
    """The summary table of a run."""
    table = Table(title="Rows after each stage")
    table.add_column("stage")
    for name in ("rows", "of input", "corrected", "dropped"):
        table.add_column(name, justify="right")
    whole = max(1, next(iter(counts.values()))["rows"])
    for stage, count in counts.items():
        dropped = sum(count["dropped"].values())
        table.add_row(
            titles[stage],
            f"{count['rows']:,}",
            f"{100 * count['rows'] / whole:.2f} %",
            f"{count['corrected']:,}" if count["corrected"] else "",
            f"{dropped:,}" if dropped else "",
        )
        for reason, number in count["dropped"].items():
            table.add_row(f"  [dim]{reason}[/dim]", "", "", "", f"[dim]{number:,}[/dim]")
    return table
