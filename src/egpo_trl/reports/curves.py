"""Learning curves: pictures of one run, of several, and of settings with several seeds each."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, cast

from .run_log import LogHistory, read_log, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Runs = Mapping[str, LogHistory | Sequence[LogHistory]]  # a list of histories holds the seeds of one setting


@dataclass(frozen=True)
class _Metric:
    name: str
    legend: str  # beside other metrics of its panel
    title: str  # of a panel of its own


# Panels of the picture of one run: title, label of the axis, and the metrics in it. Several runs get a panel a metric.
PANELS: tuple[tuple[str, str, tuple[_Metric, ...]], ...] = (
    (
        "Reward",
        "mean reward",
        (_Metric("reward", "training", "Reward"), _Metric("eval_reward", "held out", "Reward, held out")),
    ),
    (
        "Entropy",
        "nats per token",
        (
            _Metric("egpo/cot_entropy", "chain of thought", "Entropy of the chain of thought"),
            _Metric("egpo/answer_entropy", "answer", "Entropy of the answer"),
        ),
    ),
    (
        "Length",
        "tokens",
        (
            _Metric("completions/mean_length", "completion", "Completion length"),
            _Metric("egpo/cot_length", "chain of thought", "Chain-of-thought length"),
        ),
    ),
    ("Entropy bonus", "advantage", (_Metric("egpo/bonus", "mean bonus", "Entropy bonus"),)),
    (
        "Shares",
        "share",
        (
            _Metric("egpo/bonus_clipped_ratio", "bonus clipped", "Bonuses clipped"),
            _Metric("frac_reward_zero_std", "zero-variance groups", "Zero-variance groups"),
            _Metric("egpo/no_cot_ratio", "no chain of thought", "No chain of thought"),
        ),
    ),
    ("KL to the reference model", "nats per token", (_Metric("kl", "KL", "KL to the reference model"),)),
)
# Okabe and Ito: colour-blind safe. Each colour has a dash of its own, for print in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2)))
_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++")


def _style(number: int) -> dict[str, Any]:
    return {"color": _COLOURS[number % len(_COLOURS)], "linestyle": _DASHES[number % len(_DASHES)]}


def bar_style(number: int) -> dict[str, Any]:
    """Colour and hatching of a bar, for people who see no colours and for print in grey."""
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "hatch": _HATCHES[number % len(_HATCHES)],
        "edgecolor": "white",
        "linewidth": 0.4,
    }


def plain_text(text: str) -> str:
    """Text that matplotlib draws as it is: no formulas, and no leading underscore, which would hide a legend."""
    text = "".join(c if c.isprintable() else " " for c in text).replace("$", r"\$")
    return f"\u200a{text}" if text.startswith("_") else text


def name_runs(paths: Sequence[str], pattern: str | None = None) -> dict[str, list[str]]:
    """
    Runs by the names that they get in a legend, the seeds of one setting under one name.

    Args:
        paths (`Sequence[str]`):
            Runs. `NAME=RUN,RUN,…` names a setting and its seeds.
        pattern (`str`, *optional*):
            Regular expression for the part of a folder's name that tells seeds apart: runs whose names are equal
            without it are seeds of one setting.

    Returns:
        `dict[str, list[str]]`:
            Paths by name, in order.

    Raises:
        ValueError: If the pattern is no regular expression, or a setting has no run.
    """
    try:
        seed = re.compile(pattern) if pattern else None
    except re.error as error:
        raise ValueError(f"--group {pattern!r} is no regular expression: {error}.") from None
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


def _smooth(values: Sequence[float], window: int) -> list[float]:
    """Centred moving average over at most `window` values."""
    half = window // 2
    return [fmean(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]


def _seeds(logs: LogHistory | Sequence[LogHistory]) -> list[LogHistory]:
    is_one = not logs or isinstance(logs[0], Mapping)
    return cast("list[LogHistory]", [logs] if is_one else list(logs))


def _plot(axes: "Axes", seeds: Sequence[LogHistory], metric: str, style: Mapping[str, Any], label: str) -> bool:
    """Draw a metric: faintly as logged and smoothed, or for several seeds their mean and a band of one deviation."""
    drawn = [(steps, values) for steps, values in (series(log, metric) for log in seeds) if steps]
    if not drawn:
        return False
    smooth = [dict(zip(steps, _smooth(values, max(1, len(values) // 10)), strict=True)) for steps, values in drawn]
    steps = sorted(set.intersection(*(set(one) for one in smooth)))
    columns = [[one[step] for one in smooth] for step in steps]
    means = [fmean(column) for column in columns]
    if len(drawn) == 1:
        axes.plot(*drawn[0], color=style["color"], alpha=0.25, linewidth=0.8)
    else:
        spread = [stdev(column) for column in columns]
        low = [mean - one for mean, one in zip(means, spread, strict=True)]
        high = [mean + one for mean, one in zip(means, spread, strict=True)]
        face, edge = (style["color"], 0.18), (style["color"], 0.55)
        axes.fill_between(
            steps, low, high, facecolor=face, edgecolor=edge, linestyle=style["linestyle"], linewidth=0.6
        )
    axes.plot(steps, means, linewidth=1.8, label=label, marker="o" if len(steps) < 3 else None, **style)
    return True


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


def _legend_name(name: str, seeds: int) -> str:
    return plain_text(name) + (f" ({seeds} seeds)" if seeds > 1 else "")


def curves_figure(runs: Runs, title: str | None = None) -> "Figure":
    """
    Figure of the learning curves of one or several runs.

    One run: panels of related metrics, each as logged, faintly, and as its moving average over a tenth of the logs.
    Several runs: one panel a metric, runs told apart by colour and dash. Several seeds: the mean of their moving averages
    and a band of one standard deviation over the seeds, at the steps that all of them have reached. Panels that no run
    has data for are left out.

    Args:
        runs (`Mapping[str, Sequence]`):
            By the name in the legend: the log history of a run, or the list of the log histories of several seeds.
        title (`str`, *optional*):
            Title of the picture.

    Returns:
        [`~matplotlib.figure.Figure`]:
            The figure.

    Raises:
        ValueError: If no run has a single point.
    """
    from matplotlib.figure import Figure

    by_name = {name: _seeds(logs) for name, logs in runs.items()}
    several = len(by_name) > 1
    panels = [
        (metric.title if several else name, label, (metric,) if several else metrics)
        for name, label, metrics in PANELS
        for metric in (metrics if several else metrics[:1])
    ]
    histories = [log for seeds in by_name.values() for log in seeds]
    panels = [
        panel for panel in panels if any(series(log, metric.name)[0] for log in histories for metric in panel[2])
    ]
    if not panels:
        raise ValueError("There is nothing to draw: no run has logged a step.")
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.1 * rows + (0.4 if several else 0)), layout="constrained", dpi=140)
    handles: dict[str, Any] = {}
    for number, (name, label, metrics) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        for run_number, (run, seeds) in enumerate(by_name.items()):
            for metric_number, metric in enumerate(metrics):
                legend = _legend_name(run, len(seeds)) if several else metric.legend
                _plot(axes, seeds, metric.name, _style(run_number if several else metric_number), legend)
        dress_axes(axes, name, label)
        lines, labels = axes.get_legend_handles_labels()
        handles |= {text: line for text, line in zip(labels, lines, strict=True) if text not in handles}
        if not several and len(metrics) > 1:
            axes.legend(fontsize=7, frameon=False)
    if several:
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=4, fontsize=9, frameon=False,
            handlelength=3.5,
        )  # fmt: skip
    if title:
        figure.suptitle(plain_text(title), fontsize=11)
    return figure


def reasons_figure(log: LogHistory) -> "Figure":
    """
    Figure of the reasons over a run: a stacked area of the shares of rollouts, the most frequent at the bottom.

    Args:
        log (`Sequence[Mapping]`):
            Log history of the run.

    Returns:
        [`~matplotlib.figure.Figure`]:
            The figure.

    Raises:
        ValueError: If no reason was logged.
    """
    from matplotlib.figure import Figure

    names = {name for entry in log for name in entry if name.startswith("reason/")}
    shares = {name.removeprefix("reason/"): dict(zip(*series(log, name), strict=True)) for name in names}
    steps = sorted({step for values in shares.values() for step in values})
    if not steps:
        raise ValueError("There is nothing to draw: no reason has been logged.")
    totals = {name: sum(values.values()) for name, values in shares.items()}
    order = sorted((name for name in totals if totals[name] > 0), key=lambda name: (name != "correct", -totals[name]))
    shown, rest = order[: len(_HATCHES) - 1], order[len(_HATCHES) - 1 :]
    layers = [[shares[name].get(step, 0.0) for step in steps] for name in shown]
    if rest:
        shown = [*shown, f"{len(rest)} others" if len(rest) > 1 else rest[0]]
        layers.append([sum(shares[name].get(step, 0.0) for name in rest) for step in steps])
    figure = Figure(figsize=(8.8, 3.3), layout="constrained", dpi=140)
    axes = figure.add_subplot()
    colours = [*_COLOURS, "#999999"][: len(shown)]
    areas = axes.stackplot(steps, layers, colors=colours, labels=[plain_text(name) for name in shown], alpha=0.75)
    for area, hatch in zip(areas, _HATCHES, strict=False):
        area.set(hatch=hatch, edgecolor="white", linewidth=0.4)
    dress_axes(axes, "Verdicts on the rollouts", "share")
    axes.set_ylim(0, 1)  # shares
    if len(steps) > 1:
        axes.set_xlim(steps[0], steps[-1])
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right upper", fontsize=8, frameon=False)
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
