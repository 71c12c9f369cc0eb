"""[`Table`]: one table for Markdown and for the terminal."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Table:
    """Cells of text, the first column on the left; `bold` holds numbers of rows, and a cell in `**` is bold."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    bold: Collection[int] = ()

    def markdown(self) -> str:
        """The table as Markdown; of a bold row the first cell is."""
        lines = [list(map(_cell, self.columns)), ["---", *["---:"] * (len(self.columns) - 1)]]
        for number, row in enumerate(self.rows):
            first, *rest = map(_cell, row)
            lines.append([f"**{first}**" if number in self.bold else first, *rest])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def print(self, title: str, console: "Console | None" = None) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table as RichTable

        table = RichTable(title=escape(title))
        for number, name in enumerate(self.columns):
            table.add_column(escape(name), justify="right" if number else "left")
        for number, row in enumerate(self.rows):
            cells = (f"[bold]{escape(text[2:-2])}[/bold]" if text.startswith("**") else escape(text) for text in row)
            table.add_row(*cells, style="bold" if number in self.bold else None)
        (console or Console()).print(table)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
