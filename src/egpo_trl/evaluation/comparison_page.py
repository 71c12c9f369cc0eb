"""Writes a comparison of evaluations as one interactive HTML file: scores, differences, and completions side by side."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..reports.html_page import differing_fields, page_context, section, table, write_page
from ..reports.rollouts import fit, turns_of_text
from .compare import Comparison, Run
from .evaluate import JOURNAL, SCORES, SUMMARY

_BUDGET = 900_000  # characters of all completions of the page
_HOW_TO_READ = """Point at a category to read its values, click a name to hide a run. The bars are 95 % intervals; those of
differences are paired, over the prompts that all runs answered."""


def write_comparison_page(comparison: Comparison, runs: Sequence[Run], path: Path, title: str | None = None) -> Path:
    """Write the page of a comparison."""
    names, found = comparison.runs, comparison.table()
    cells = [
        [Markup("<strong>{}</strong>").format(c[2:-2]) if c.startswith("**") else c for c in r] for r in found.rows
    ]
    charts = [
        _chart(comparison, "Scores", "%", range(len(names)), ("score", "low", "high")),
        _chart(comparison, f"Difference to {names[0]}", "points", range(1, len(names)),
               ("difference", "difference_low", "difference_high")),
    ]  # fmt: skip
    context = page_context(
        title or f"{comparison.suite}: {' and '.join(names) if len(names) < 4 else f'{len(names)} runs'}",
        "Evaluations side by side",
        sections=[
            section("Scores and differences", charts, _HOW_TO_READ, wide=True),
            section(
                "Table", [], comparison.note() + " Clear differences are bold.", table("", found.columns, cells, 1)
            ),
        ],
        rollouts=fit(_completions(runs), _BUDGET),
        details=differing_fields({run.name: _settings(run.folder) for run in runs}),
        browser="Completions",
        when="category",
        order="where they differ first",
    )
    return write_page(context, path)


def _chart(
    comparison: Comparison, title: str, unit: str, numbers: Sequence[int], fields: tuple[str, str, str]
) -> dict[str, Any]:
    """Marks with intervals over the categories; the runs of a category are next to each other."""
    rows = comparison.rows
    places = {(at, number): at + 0.6 * ((i + 0.5) / len(numbers) - 0.5) for at in range(len(rows))
              for i, number in enumerate(numbers)}  # fmt: skip
    steps = sorted(places.values())
    lines = []
    for number in numbers:
        at = {round(places[row, number], 4): rows[row].cells[number] for row in range(len(rows))}
        columns = {
            name: [round(100 * getattr(at[x], field), 2) if (x := round(step, 4)) in at else None for step in steps]
            for name, field in zip(("values", "low", "high"), fields, strict=True)
        }
        lines.append({"label": comparison.runs[number], "style": number, **columns})
    categories = [row.category for row in rows]
    return {"title": title, "unit": unit, "height": 320, "steps": steps, "lines": lines, "categories": categories}


def _completions(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Completions of all runs for the browser of the page, first those of prompts on which the runs differ."""
    items = [item for run in runs for item in _completions_of(run)]
    rewards: dict[str, set[float]] = {}
    for item in items:
        rewards.setdefault(item["group"], set()).add(item["reward"])
    places = {group: place for place, group in enumerate(rewards)}
    items.sort(key=lambda item: (len(rewards[item["group"]]) == 1, places[item["group"]]))
    return items


def _completions_of(run: Run) -> list[dict[str, Any]]:
    steps: dict[tuple[str, int], list[str]] = {}
    for line in _lines(run.folder / JOURNAL)[1:]:
        steps.setdefault((line["item"], line["sample"]), []).append(line["completion"]["text"])
    close = (_settings(run.folder).get("think_tags") or ["<think>", "</think>"])[1]
    return [
        {
            "when": one["category"], "order": 0, "group": one["id"], "request": one.get("request"), "reference": None,
            "reason": one["reason"], "reward": one["score"], "advantage": None, "entropy": None, "run": run.name,
            "turns": [turn for text in steps.get((one["id"], one["sample"]), ()) for turn in turns_of_text(text, close)],
        }
        for one in _lines(run.folder / SCORES)
    ]  # fmt: skip


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):  # removed to save room, or being written
        return []


def _settings(folder: Path) -> Mapping[str, Any]:
    """What was asked, and how it was sampled."""
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    return {**summary.get("options", {}), **summary.get("sampling", {})}
