"""Turns logs into the panels of lines that the picture of the curves and the report draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import cast

from .run_log import LogHistory, series

Runs = Mapping[str, LogHistory | Sequence[LogHistory]]  # a list of histories holds the seeds of one setting

_MOST_REASONS = 6  # with a line of their own; the rest are added up


@dataclass(frozen=True)
class Metric:
    """One metric of a panel."""

    name: str
    legend: str  # beside other metrics of its panel
    title: str  # of a panel of its own


# Panels of the picture of one run: title, label of the axis, and the metrics in it. Several runs get a panel a metric.
PANELS: tuple[tuple[str, str, tuple[Metric, ...]], ...] = (
    ("Reward", "mean reward", (
        Metric("reward", "training", "Reward"),
        Metric("eval_reward", "held out", "Reward, held out"),
    )),
    ("Held-out rows", "share", tuple(
        Metric(f"eval_{key}/{decoding}", f"{name}, {decoding}", f"{name.capitalize()}, {decoding}")
        for key, name in (("exact_match", "exact match"), ("strict_success", "strict success"))
        for decoding in ("greedy", "sampled")
    )),
    ("Entropy", "nats per token", (
        Metric("egpo/cot_entropy", "chain of thought", "Entropy of the chain of thought"),
        Metric("egpo/answer_entropy", "answer", "Entropy of the answer"),
    )),
    ("Length", "tokens", (
        Metric("completions/mean_length", "completion", "Completion length"),
        Metric("egpo/cot_length", "chain of thought", "Chain-of-thought length"),
    )),
    ("Entropy bonus", "advantage", (Metric("egpo/bonus", "mean bonus", "Entropy bonus"),)),
    ("Shares", "share", (
        Metric("egpo/bonus_clipped_ratio", "bonus clipped", "Bonuses clipped"),
        Metric("frac_reward_zero_std", "zero-variance groups", "Zero-variance groups"),
        Metric("egpo/no_cot_ratio", "no chain of thought", "No chain of thought"),
    )),
    ("KL to the reference model", "nats per token", (Metric("kl", "KL", "KL to the reference model"),)),
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A metric of a run over its steps; `low` and `high` are one standard deviation over several seeds."""

    label: str
    style: int
    steps: Sequence[int]
    values: Sequence[float]  # moving average over a tenth of the logs, mean over the seeds
    logged: Sequence[float] | None = None  # as logged, for one seed
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True)
class Panel:
    """Lines that share their axes."""

    title: str
    unit: str
    lines: Sequence[Line]


def _smooth(values: Sequence[float], window: int) -> list[float]:
    """Centred moving average over at most `window` values."""
    half = window // 2
    return [fmean(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]


def seeds_of(logs: LogHistory | Sequence[LogHistory]) -> list[LogHistory]:
    """Histories of the seeds of a setting; a single history is one seed."""
    is_one = not logs or isinstance(logs[0], Mapping)
    return cast("list[LogHistory]", [logs] if is_one else list(logs))


def _line(seeds: Sequence[LogHistory], metric: str, label: str, style: int) -> Line | None:
    drawn = [(steps, values) for steps, values in (series(log, metric) for log in seeds) if steps]
    if not drawn:
        return None
    smooth = [dict(zip(steps, _smooth(values, max(1, len(values) // 10)), strict=True)) for steps, values in drawn]
    steps = sorted(set.intersection(*(set(one) for one in smooth)))
    columns = [[one[step] for one in smooth] for step in steps]
    means = [fmean(column) for column in columns]
    if len(drawn) == 1:
        logged = dict(zip(*drawn[0], strict=True))
        return Line(label, style, steps, means, [logged[step] for step in steps])
    spread = [stdev(column) for column in columns]
    low = [mean - one for mean, one in zip(means, spread, strict=True)]
    high = [mean + one for mean, one in zip(means, spread, strict=True)]
    return Line(label, style, steps, means, None, low, high)


def make_panels(runs: Runs) -> list[Panel]:
    """Panels that there is data for: of related metrics for one run; one a metric, with a line a run, for several."""
    by_name = {name: seeds_of(logs) for name, logs in runs.items()}
    several = len(by_name) > 1
    panels = []
    for title, unit, metrics in PANELS:
        for first in metrics if several else metrics[:1]:
            lines = []
            for run_number, (name, seeds) in enumerate(by_name.items()):
                named = name + (f" ({len(seeds)} seeds)" if len(seeds) > 1 else "")
                for number, metric in enumerate((first,) if several else metrics):
                    label, style = (named, run_number) if several else (metric.legend, number)
                    lines.append(_line(seeds, metric.name, label, style))
            found = [line for line in lines if line is not None]
            if found:
                panels.append(Panel(first.title if several else title, unit, found))
    return panels


def reason_shares(log: LogHistory) -> tuple[list[int], dict[str, list[float]]]:
    """Steps, and by reason the share of the rollouts at each: `correct` first, then the most frequent."""
    names = {name for entry in log for name in entry if name.startswith("reason/")}
    shares = {name.removeprefix("reason/"): dict(zip(*series(log, name), strict=True)) for name in names}
    steps = sorted({step for values in shares.values() for step in values})
    totals = {name: sum(values.values()) for name, values in shares.items()}
    order = sorted((name for name in totals if totals[name] > 0), key=lambda name: (name != "correct", -totals[name]))
    columns = {name: [shares[name].get(step, 0.0) for step in steps] for name in order}
    shown = {name: columns[name] for name in order[:_MOST_REASONS]}
    rest = order[_MOST_REASONS:]
    if rest:
        name = f"{len(rest)} others" if len(rest) > 1 else rest[0]
        shown[name] = [sum(values) for values in zip(*(columns[other] for other in rest), strict=True)]
    return steps, shown
