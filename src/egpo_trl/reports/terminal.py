"""Prints the rollouts of a run to the terminal, each token of the chain of thought shaded by its entropy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .html_page import showable
from .html_report import read_files

if TYPE_CHECKING:
    from rich.text import Text

Rollout = Mapping[str, Any]
SORTS = ("lowest-reward", "highest-reward", "lowest-entropy", "highest-entropy")


def choose(
    rollouts: Sequence[Rollout], when: str | None, reason: str | None, text: str | None, sort: str | None
) -> list[Rollout]:
    """Rollouts of a time (`before`, `after`, `training` or a step), with a reason and a text, in an order."""
    for name, value in (("when", when if when != "training" else None), ("reason", reason)):
        known = list(dict.fromkeys(one[name].removeprefix("step ") for one in rollouts))
        if value is not None and value not in known:
            raise ValueError(f"no rollout has {name} {value!r}. There are: {', '.join(known)}.")
    kept = [
        one
        for one in rollouts
        if when in (None, one["when"].removeprefix("step ")) or (when == "training" and one["order"] >= 0)
    ]
    kept = [one for one in kept if reason in (None, one["reason"]) and (text or "").lower() in _all_text(one).lower()]
    if sort is not None:
        order, _, name = sort.partition("-")
        kept.sort(key=lambda one: one[name] or 0.0, reverse=order == "highest")
    return kept


def _all_text(one: Rollout) -> str:
    return "\n".join([one["request"], *(piece for _, tokens in one["turns"] for piece, _ in tokens)])


def print_rollouts(
    run: str | Path,
    count: int = 5,
    when: str | None = None,
    reason: str | None = None,
    text: str | None = None,
    sort: str | None = None,
) -> None:
    """Print rollouts of a run."""
    from rich.console import Console

    everything = read_files(Path(run)).rollouts(10**12)
    if not everything:
        raise ValueError(
            f"{run} holds no rollouts. `egpo-trl train` writes them with report: true or log_completions: true."
        )
    chosen = choose(everything, when, reason, text, sort)
    largest = max((e for one in chosen for _, tokens in one["turns"] for _, e in tokens if e is not None), default=0.0)
    console = Console(highlight=False)
    for one in chosen[:count]:
        console.print(_shown(showable(one), largest))
    console.print(
        f"{min(count, len(chosen))} of {len(chosen)} rollouts"
        + (f"; shades: up to {largest:.2f} nats" if largest else "")
    )


def _shown(one: Rollout, largest: float) -> "Text":
    from rich.text import Text

    right = one["reason"] == "correct"
    when = one["when"] if one["order"] >= 0 else f"held out, {one['when']}"
    facts = [f"{name} {one[name]:.2f}" for name in ("reward", "advantage", "entropy") if one[name] is not None]
    shown = Text.assemble(
        (f"{'✓' if right else '✗'} {one['reason']}", "bold blue" if right else "bold yellow"),
        (f"  {'  '.join([when, *facts])}\n", "dim"),
        ("Request: ", "bold"),
        f"{one['request']}\n",
    )
    for kind, tokens in one["turns"]:
        for piece, entropy in tokens:
            share = entropy / largest if entropy is not None and largest else 0.0
            shade = (
                f"black on rgb(255,{255 - int(90 * share)},{255 - int(255 * share)})"  # readable on dark and on light
            )
            shown.append(piece, shade if share > 0.05 else "dim" if kind != "answer" else "")
        shown.append("\n")
    if one["reference"]:
        shown.append(f"Reference: {one['reference']}\n", "dim")
    return shown
