"""Prints the end of a run: scores before and after, sample completions, and where everything is."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..utils.table import Table

if TYPE_CHECKING:
    from rich.console import Console

DECODINGS = ("greedy", "sampled")


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


def score_table(before: Mapping[str, Any], after: Mapping[str, Any] | None) -> tuple[str, Table] | None:
    """Title and table of the scores on held-out rows, in %, of the decodings that were measured."""
    decodings = [name for name in DECODINGS if name in before and (after is None or name in after)]
    if not decodings:
        return None
    columns = ["rows"]
    for name in decodings:
        columns += [f"{name}, before"] if after is None else [f"{name}, before", "after", "gain"]
    rows = []
    for kind in before[decodings[0]]["exact_match"]:
        cells = [kind]
        for name in decodings:
            old, new = (100 * half[name]["exact_match"].get(kind, 0.0) for half in (before, after or before))
            cells += [f"{old:.1f}"] if after is None else [f"{old:.1f}", f"{new:.1f}", f"{new - old:+.1f}"]
        rows.append(cells)
    first = before[decodings[0]]
    criterion = first.get("criterion", "exact match").capitalize()
    return f"{criterion} on {len(first['completions'])} held-out rows, in %", Table(columns, rows)


def _print_comparison(console: "Console", before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    from rich.markup import escape

    found = score_table(before, after)
    if found is None:
        return
    title, table = found
    table.print(title, console)
    first = next(name for name in DECODINGS if name in before and name in after)
    for index in pick_samples(before[first], after[first]):
        old, new = before[first]["completions"][index], after[first]["completions"][index]
        console.print(f"\n[bold]Request:[/bold] {escape(question_of(new['prompt']))}")
        for name, sample in (("before", old), ("after", new)):
            style = "green" if sample["score"] else "red"
            console.print(f"[{style}]{name}: {sample['reason']}[/{style}]")
            console.print(escape(sample["completion"]), highlight=False)
    console.print()
