"""Reports a cleaning run: counts in the form of the paper's Table 2, and an HTML page with samples of rows."""

import json
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment

from ..utils.files import write_text
from ..utils.table import Table

_SAMPLES = 5  # of each reason, of corrections and of kept rows
_MAX_TEXT = 4000  # characters of one text
# Control characters, and those that show a text in another order.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


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


class Samples:
    """A few rows of each kind, each row of a kind with the same chance; the same ones in every run over the same rows."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._random = random.Random(0)

    def add(self, stage: str, reason: str, row: Mapping[str, Any], **shown: Any) -> None:
        """Add a row of a stage and reason, with what else is shown of it: `detail`, `before`."""
        key = (stage, str(reason))
        group = self.groups.setdefault(key, [])
        self._counts[key] = number = self._counts.get(key, 0) + 1
        place = len(group) if len(group) < _SAMPLES else self._random.randrange(number)
        if place < _SAMPLES:
            group[place : place + 1] = [{"row": dict(row), **shown}]

    def shown(self, stage: str, reason: str) -> list[dict[str, Any]]:
        return [
            {
                "id": row.get("id"),
                "detail": sample.get("detail"),
                "messages": _messages(row.get("prompt")),
                "tools": _names(row.get("tools")),
                "answer": _answer(row),
                "before": _answer(sample["before"]) if "before" in sample else None,
            }
            for sample in self.groups.get((stage, reason), [])
            for row in (sample["row"],)
        ]


def write_report(
    path: Path, dataset_name: str, counts: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str], samples: Samples
) -> None:
    """Write the page of a run, whole or not at all."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["text"] = _text
    template = (files(__package__) / "templates" / "report.html.jinja").read_text(encoding="utf-8")
    dropped = [
        {"stage": titles[stage], "reason": reason, "count": number, "samples": samples.shown(stage, reason)}
        for stage, count in counts.items()
        for reason, number in count["dropped"].items()
    ]
    page = environment.from_string(template).render(
        name=dataset_name,
        stages=[{**count, "title": titles[stage]} for stage, count in counts.items()],
        dropped=dropped,
        corrected=samples.shown("llm", "corrected"),
        kept=samples.shown("kept", "kept"),
    )
    write_text(page, path)


def _messages(prompt: Any) -> list[tuple[str, str]]:
    """Role and text of the messages of a prompt, calls as JSON; rows that are malformed too have something to show."""
    if not isinstance(prompt, Sequence) or isinstance(prompt, str):
        return [("prompt", str(prompt))]
    shown = []
    for message in prompt:
        if not isinstance(message, Mapping):
            shown.append(("?", str(message)))
            continue
        calls = message.get("tool_calls")
        parts = (message.get("content") or "", json.dumps(calls, ensure_ascii=False, default=str) if calls else "")
        shown.append((str(message.get("role")), "\n".join(str(part) for part in parts if part)))
    return shown


def _names(tools: Any) -> list[str]:
    try:
        decoded = json.loads(tools) if isinstance(tools, str) else tools
        return [str(tool.get("function", tool)["name"]) for tool in decoded or []]
    except (ValueError, TypeError, AttributeError, KeyError):
        return []


def _answer(row: Mapping[str, Any]) -> str:
    """The right answer of a row: its calls, one a line, or its text."""
    reference = row.get("reference")
    try:
        calls = json.loads(reference) if isinstance(reference, str) else None
    except (ValueError, RecursionError):
        calls = None
    if not isinstance(calls, list):
        return str(reference)
    if calls:
        return "\n".join(json.dumps(call, ensure_ascii=False) for call in calls)
    return str(row.get("answer") or "(a text that is not known)")


def _text(value: Any) -> str:
    """A value as text of bounded length that shows as it is."""
    text = _UNSHOWABLE.sub("\ufffd", str(value))
    over = len(text) - _MAX_TEXT
    return text if over <= 0 else f"{text[:_MAX_TEXT]}… [{over:,} more characters]"
