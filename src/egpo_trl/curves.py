"""Learning curves from the logs that the trainer writes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Panels of the picture: title, label of the axis, and the metrics drawn in it with their names in the legend.
PANELS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("Reward", "mean reward", (("reward", "training"), ("eval_reward", "held out"))),
    ("Entropy", "nats per token", (("egpo/cot_entropy", "chain of thought"), ("egpo/answer_entropy", "answer"))),
    ("Length", "tokens", (("completions/mean_length", "completion"), ("egpo/cot_length", "chain of thought"))),
    ("Entropy bonus", "advantage", (("egpo/bonus", "mean bonus"),)),
    (
        "Shares",
        "share",
        (
            ("egpo/bonus_clipped_ratio", "bonus clipped"),
            ("frac_reward_zero_std", "zero-variance groups"),
            ("egpo/no_cot_ratio", "no chain of thought"),
        ),
    ),
    ("KL to the reference model", "nats per token", (("kl", "KL"),)),
)
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito: colour-blind safe
_DASHES = ("-", "--", ":")


def read_log(run: str | Path) -> list[dict[str, Any]]:
    """
    Log history of a run.

    Args:
        run (`str` or `Path`):
            Output folder of a run, one of its checkpoints, or a `trainer_state.json`. In an output folder the state of
            the finished run is taken, or else that of the latest checkpoint.

    Returns:
        `list[dict]`:
            The logs.

    Raises:
        FileNotFoundError: If there is no state yet.
        ValueError: If the file is no trainer state.
    """
    path = Path(run)
    if path.is_dir():
        checkpoints = sorted(path.glob("checkpoint-*/trainer_state.json"), key=lambda file: file.stat().st_mtime)
        finished = path / "trainer_state.json"
        candidates = [finished] if finished.exists() else checkpoints[-1:]
        if not candidates:
            raise FileNotFoundError(
                f"{run} holds no trainer_state.json and no checkpoint with one: has a step been saved?"
            )
        path = candidates[0]
    try:
        log = json.loads(path.read_text(encoding="utf-8"))["log_history"]
        return [entry for entry in log if isinstance(entry.get("step"), int)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a trainer state: {error!r}.") from None


def series(log: Sequence[Mapping[str, Any]], metric: str) -> tuple[list[int], list[float]]:
    """Steps and values of a metric, where it was logged."""
    points = [(entry["step"], float(entry[metric])) for entry in log if entry.get(metric) is not None]
    return [step for step, _ in points], [value for _, value in points]


def _smooth(values: Sequence[float], window: int) -> list[float]:
    """Centred moving average over at most `window` values."""
    half = window // 2
    return [sum(part) / len(part) for part in (values[max(0, i - half) : i + half + 1] for i in range(len(values)))]


def draw_curves(runs: Mapping[str, Sequence[Mapping[str, Any]]], path: str | Path, title: str | None = None) -> Path:
    """
    Draw the learning curves of one or several runs into a picture.

    Every metric is drawn as logged, faintly, and as its moving average. Runs differ by colour, metrics within a panel
    by colour for one run and by dashes for several. Panels that no run has data for are left out.

    Args:
        runs (`Mapping[str, Sequence[Mapping]]`):
            Log history of each run, by the name in the legend.
        path (`str` or `Path`):
            Picture to write; its ending decides on the format (`.png`, `.svg`, `.pdf`).
        title (`str`, *optional*):
            Title of the picture.

    Returns:
        `Path`:
            The picture.

    Raises:
        ValueError: If no run has a single point.
    """
    from matplotlib.figure import Figure

    panels = [
        panel for panel in PANELS if any(series(log, metric)[0] for log in runs.values() for metric, _ in panel[2])
    ]
    if not panels:
        raise ValueError("There is nothing to draw: no run has logged a step.")
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.1 * rows), layout="constrained", dpi=140)
    for number, (name, label, metrics) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        for run_number, (run, log) in enumerate(runs.items()):
            for metric_number, (metric, meaning) in enumerate(metrics):
                steps, values = series(log, metric)
                if not steps:
                    continue
                colour = _COLOURS[(run_number if len(runs) > 1 else metric_number) % len(_COLOURS)]
                dash = _DASHES[metric_number % len(_DASHES)]
                legend = meaning if len(runs) == 1 else f"{run}: {meaning}" if len(metrics) > 1 else run
                axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
                smooth = _smooth(values, max(1, len(values) // 10))
                marker = "o" if len(values) < 3 else None
                axes.plot(steps, smooth, color=colour, linestyle=dash, linewidth=1.8, label=legend, marker=marker)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.set_ylabel(label, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if axes.get_legend_handles_labels()[1] not in ([], ["mean bonus"], ["KL"]):
            axes.legend(fontsize=7, frameon=False)
    if title:
        figure.suptitle(title, fontsize=11)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
