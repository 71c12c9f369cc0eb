"""Draws the figures of the page as SVG files that are the same for the same CSV files."""

from pathlib import Path
from typing import Any

import numpy as np

from . import analysis
from .analysis import THRESHOLDS, Study
from .design import ARMS, BASE
from .statistics import MARGIN, paired

COLORS = {
    "grpo": "#000000", "egpo_token": "#0072b2", "egpo_sequence": "#56b4e9", "unclipped": "#d55e00",
    "positive_only": "#009e73", "placebo": "#999999", "entropy_loss": "#e69f00", "sft": "#cc79a7",
}  # fmt: skip  # Okabe and Ito's palette, told apart by colour-blind readers
SETTINGS = {
    "svg.hashsalt": "study",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_figures(study: Study, images: Path) -> dict[str, str]:
    """Draw every figure that there is data for; file names by what they show."""
    import matplotlib

    images.mkdir(parents=True, exist_ok=True)
    names = {}
    with matplotlib.rc_context(SETTINGS):
        for task in study.tasks():
            names[f"differences_{task}"] = _save(_differences(study, task), images / f"study_differences_{task}.svg")
            names[f"curves_{task}"] = _save(_curves(study, task), images / f"study_curves_{task}.svg")
        names["profiles"] = _save(_profiles(study), images / "study_profiles.svg")
    return names


def _axes(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _save(figure: Any, path: Path) -> str:
    figure.savefig(path, metadata={"Date": None})
    return path.name


def _differences(study: Study, task: str) -> Any:
    figure, axes = _axes(6.4, 3.0)
    scores = study.scores(task)
    arms = [arm for arm in ARMS if arm != BASE]
    axes.axvspan(-MARGIN, MARGIN, color="#eeeeee", zorder=0)
    axes.axvline(0, color="#000000", linewidth=0.8)
    for height, arm in enumerate(reversed(arms)):
        differences = scores[arm] - scores[BASE]
        found = paired(differences)
        axes.plot(differences, np.full(len(differences), height + 0.22), "|", color=COLORS[arm], markersize=5)
        axes.plot([found.low, found.high], [height, height], color=COLORS[arm], linewidth=2)
        axes.plot([found.mean], [height], "o", color=COLORS[arm], markersize=5)
    axes.set_yticks(range(len(arms)), list(reversed(arms)))
    axes.set_xlabel(f"exact match minus that of {BASE}, points; shaded: within {MARGIN:g}")
    return figure


def _curves(study: Study, task: str) -> Any:
    figure, axes = _axes(6.4, 3.2)
    for arm in ARMS:
        curve = analysis.mean_curve(study, task, arm)
        if len(curve):
            axes.plot(range(1, len(curve) + 1), curve, color=COLORS[arm], linewidth=1.2, label=arm)
    axes.set_xlabel("step")
    axes.set_ylabel("reward, mean over the pairs")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    return figure


def _profiles(study: Study) -> Any:
    figure, axes = _axes(6.4, 3.2)
    for arm, shares in analysis.profiles(study).items():
        axes.step(THRESHOLDS, shares, where="post", color=COLORS[arm], linewidth=1.2, label=arm)
    scores = np.stack(list(analysis.over_tasks(study)[2].values()))
    axes.set_xlim(scores.min() - 3, scores.max() + 3)
    axes.set_xlabel("exact match, %")
    axes.set_ylabel("share of runs above it")
    axes.legend(frameon=False, fontsize=8)
    return figure
