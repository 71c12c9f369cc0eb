"""Draws learning curves of runs, or of settings with several seeds each."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .panels import Line, Runs, make_panels
from .run_log import read_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito: colour-blind safe. Each colour has a dash of its own, for print in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2)))
_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++")


def _style(number: int) -> dict[str, Any]:
    return {"color": _COLOURS[number % len(_COLOURS)], "linestyle": _DASHES[number % len(_DASHES)]}


def bar_style(number: int) -> dict[str, Any]:
    """Colour and hatching of a bar, for people who see no colours and for print in grey."""
    hatch = _HATCHES[number % len(_HATCHES)]
    return {"color": _COLOURS[number % len(_COLOURS)], "hatch": hatch, "edgecolor": "white", "linewidth": 0.4}


def plain_text(text: str) -> str:
    """Text that matplotlib draws as it is: no formulas, and no leading underscore, which would hide a legend."""
    text = "".join(c if c.isprintable() else " " for c in text).replace("$", r"\$")
    return f"\u200a{text}" if text.startswith("_") else text


def name_runs(paths: Sequence[str], pattern: str | None = None) -> dict[str, list[str]]:
    """Runs by the names that they get in a legend, the seeds of one setting under one name."""
    try:
        seed = re.compile(pattern) if pattern else None
    except re.error as error:
        raise ValueError(f"--group {pattern!r} is not a regular expression: {error}.") from None
    single: list[tuple[str, str]] = []
    named: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        setting, equals, members = path.partition("=")
        if equals and not Path(path).exists():
            runs = [member.strip() for member in members.split(",") if member.strip()]
            if not runs:
                raise ValueError(f"{path!r} names no run. Write NAME=RUN,RUN,…")
            named.setdefault(setting, []).extend(runs)
        else:
            full = Path(path).resolve()
            single.append((path, (full.parent if full.is_file() else full).name))
    if seed is not None:
        if not any(seed.search(name) for _, name in single):
            raise ValueError(f"--group {pattern!r} does nothing here: the name of no run matches it. Remove it.")
        for path, name in single:
            named.setdefault(seed.sub(" ", name).strip(" -_.") or name, []).append(path)
        return named
    counts = Counter(name for _, name in single)
    for path, name in single:
        named.setdefault(name if counts[name] == 1 and name not in named else path, []).append(path)
    return {name: list(dict.fromkeys(runs)) for name, runs in named.items()}


def read_runs(named: Mapping[str, Sequence[str | Path]]) -> dict[str, list[list[dict[str, Any]]]]:
    """Log histories of [`name_runs`]; raises what [`~egpo_trl.reports.run_log.read_log`] raises."""
    return {name: [read_log(path) for path in paths] for name, paths in named.items()}


def _plot(axes: "Axes", line: Line) -> None:
    """Draw a line: faintly as logged and thick as smoothed, or for several seeds their mean and a band around it."""
    style = _style(line.style)
    if line.logged is not None:
        axes.plot(line.steps, line.logged, color=style["color"], alpha=0.25, linewidth=0.8)
    if line.low is not None and line.high is not None:
        face, edge = (style["color"], 0.18), (style["color"], 0.55)
        axes.fill_between(
            line.steps, line.low, line.high, facecolor=face, edgecolor=edge, linestyle=style["linestyle"],
            linewidth=0.6,
        )  # fmt: skip
    marker = "o" if len(line.steps) < 3 else None
    axes.plot(line.steps, line.values, linewidth=1.8, label=plain_text(line.label), marker=marker, **style)


def dress_axes(axes: "Axes", title: str, label: str, x_label: str = "step") -> None:
    """Titles, grid and spines as in every picture of the project."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x_label, fontsize=8)
    axes.set_ylabel(label, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if label in ("share", "tokens"):
        top = max(axes.get_ylim()[1], 0.05)
        axes.set_ylim(-0.02 * top, top)  # a line at 0 stays visible


def curves_figure(runs: Runs, title: str | None = None) -> "Figure":
    """Figure of the learning curves of one or several runs, see [`~egpo_trl.reports.panels.make_panels`]."""
    from matplotlib.figure import Figure

    several = len(runs) > 1
    panels = make_panels(runs)
    if not panels:
        raise ValueError("There is nothing to draw: no run has logged a step.")
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.1 * rows + (0.4 if several else 0)), layout="constrained", dpi=140)
    handles: dict[str, Any] = {}
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        for line in panel.lines:
            _plot(axes, line)
        dress_axes(axes, panel.title, panel.unit)
        lines, labels = axes.get_legend_handles_labels()
        handles |= {text: line for text, line in zip(labels, lines, strict=True) if text not in handles}
        if not several and len(panel.lines) > 1:
            axes.legend(fontsize=7, frameon=False)
    if several:
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=4, fontsize=9, frameon=False,
            handlelength=3.5,
        )  # fmt: skip
    if title:
        figure.suptitle(plain_text(title), fontsize=11)
    return figure


def draw_curves(runs: Runs, path: str | Path, title: str | None = None) -> Path:
    """
    Draw [`curves_figure`] into a file.

    Args:
        runs (`Mapping[str, Sequence]`):
            By the name in the legend: the log history of a run, or the list of the log histories of several seeds.
        path (`str` or `Path`):
            Picture to write; its ending decides on the format (`.png`, `.svg`, `.pdf`).
        title (`str`, *optional*):
            Title of the picture.

    Returns:
        `Path`:
            The picture.

    Raises:
        ValueError: If no run has a single point, or the format is unknown.
    """
    figure = curves_figure(runs, title)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
