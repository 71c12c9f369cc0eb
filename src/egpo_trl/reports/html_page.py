"""Renders a template into one HTML file that loads nothing from elsewhere."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..utils.files import write_text

_FOLDER = Path(__file__).parent / "page"
_SCRIPTS = ("uPlot.iife.min.js", "report.js")
# Control characters, bidirectional overrides, which could show a text in another order, and half characters.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def showable(value: Any) -> Any:
    """A JSON value whose texts can be shown: what could reorder or break them becomes U+FFFD, and NaN becomes null."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return _UNSHOWABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {showable(str(key)): showable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [showable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@cache
def _file(name: str) -> Markup:
    return Markup((_FOLDER / name).read_text(encoding="utf-8"))


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, finalize=showable, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.policies["json.dumps_function"] = lambda value, **_: json.dumps(
        showable(value), separators=(",", ":"), default=str
    )
    return environment


def render(template: str, context: Mapping[str, Any]) -> str:
    """A template with a context, every text escaped."""
    return _environment().get_template(template).render(**context)


def page_text(context: Mapping[str, Any]) -> str:
    """The whole page of a report."""
    scripts = [_file(name) for name in _SCRIPTS]
    # Should anything ever slip through the escaping, the policy still forbids every other script and every request.
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {' '.join(map(_hash, scripts))}"
    styles = [_file(name) for name in ("uPlot.min.css", "report.css")]
    return render("report.html.jinja", {**context, "policy": policy, "scripts": scripts, "styles": styles})


def write_page(context: Mapping[str, Any], path: Path) -> Path:
    """Write a page into a file that is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(page_text(context), path)
    return path


def page_context(title: str, subtitle: str, **parts: Any) -> dict[str, Any]:
    """What the template reads; parts that a page does not have are empty."""
    empty = dict.fromkeys(("tiles", "tables", "sections", "rollouts", "details"), ())
    words = {"browser": "Rollouts", "when": "when", "order": "step"}
    return {**empty, **words, "title": title, "subtitle": subtitle, **parts}


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], text_columns: int = 1) -> dict[str, Any]:
    """A table, its first columns texts and the others numbers."""
    return {"title": title, "header": header, "rows": rows, "text_columns": text_columns}


def section(
    title: str, charts: Sequence[Any], note: str = "", table: Mapping[str, Any] | None = None, wide: bool = False
) -> dict[str, Any]:
    """Charts under a title, with a table below."""
    return {"title": title, "charts": charts, "note": note, "table": table, "wide": wide}


def differing_fields(fields: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A table of the fields in which runs differ, if there are any."""
    rows = []
    for name in dict.fromkeys(name for one in fields.values() for name in one):
        values = [json.dumps(one.get(name), ensure_ascii=False) for one in fields.values()]
        if len(set(values)) > 1:
            rows.append([name, *values])
    return [table("Fields that differ", ["field", *fields], rows, 1 + len(fields))] if rows else []
