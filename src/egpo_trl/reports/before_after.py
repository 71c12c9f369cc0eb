"""The end of a run: exact match before and after, sample completions, and where everything is."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def question_of(prompt: Any) -> str:
    """What the user asks for in a prompt: its last user message, or without one its last message."""
    if isinstance(prompt, str):
        return prompt
    asked = [message for message in prompt if message.get("role") == "user"] or prompt[-1:]
    return str(asked[-1].get("content") or "") if asked else ""


def pick_samples(before: Mapping[str, Any], after: Mapping[str, Any], count: int = 3) -> list[int]:
    """Rows to show: answers that training put right, then one that is still wrong."""
    pairs = list(zip(before["completions"], after["completions"], strict=True))
    gained = [i for i, (old, new) in enumerate(pairs) if new["score"] > old["score"]]
    wrong = [i for i, (_, new) in enumerate(pairs) if new["score"] < 1]
    others = [i for i in range(len(pairs)) if i not in gained and i not in wrong]
    return [*gained[: count - 1], *wrong[:1], *gained[count - 1 :], *others][:count]


def print_report(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, places: Mapping[str, Path]
) -> None:
    """Print the table of exact match before and after, sample completions, and where things were saved."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(width=None, soft_wrap=False, force_jupyter=False)  # one text in a notebook, not one box a line
    if before is not None and after is not None:
        _print_comparison(console, before, after)
    for name, path in places.items():
        console.print(f"{name}: {escape(str(path))}", highlight=False, soft_wrap=True)


def _print_comparison(console: "Console", before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    decodings = [name for name in after if name in before]
    rows = len(after[decodings[0]]["completions"])
    criterion = after[decodings[0]].get("criterion", "exact match").capitalize()
    table = Table(title=f"{criterion} on {rows} held-out rows, in %")
    table.add_column("rows")
    for decoding in decodings:
        table.add_column(f"{decoding}\nbefore", justify="right")
        table.add_column(f"{decoding}\nafter", justify="right")
        table.add_column("gain", justify="right", style="bold")
    for kind in after[decodings[0]]["exact_match"]:
        cells = []
        for decoding in decodings:
            old, new = (100 * summary[decoding]["exact_match"][kind] for summary in (before, after))
            cells += [f"{old:.1f}", f"{new:.1f}", f"{new - old:+.1f}"]
        table.add_row(kind, *cells, end_section=kind == "all")
    console.print(table)
    first = decodings[0]
    for index in pick_samples(before[first], after[first]):
        old, new = before[first]["completions"][index], after[first]["completions"][index]
        console.print(f"\n[bold]Request:[/bold] {escape(question_of(new['prompt']))}")
        for name, sample in (("before", old), ("after", new)):
            style = "green" if sample["score"] else "red"
            console.print(f"[{style}]{name}: {sample['reason']}[/{style}]")
            console.print(escape(sample["completion"]), highlight=False)
    console.print()
