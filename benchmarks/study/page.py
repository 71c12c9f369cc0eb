"""Writes docs/study.md and its figures from the CSV files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from egpo_trl.utils.files import write_text

from . import analysis
from .analysis import Study, read_study
from .design import ARMS, BASE, MAIN, ROOT, TASKS
from .figures import draw_figures
from .order import is_good, total_runs
from .statistics import MARGIN, detectable
from .tables import number, points, signed, table
from .text import INTRODUCTION, LIMITS, METHOD, NOTHING_YET

PAGE = ROOT / "docs" / "study.md"
IMAGES = ROOT / "docs" / "images"


def write_page(results: Path, page: Path = PAGE, images: Path = IMAGES) -> None:
    """Write the page and its figures."""
    study = read_study(results)
    names = draw_figures(study, images) if study.tasks() else {}
    write_text(page_text(study, names), page)


def page_text(study: Study, figures: Mapping[str, str]) -> str:
    """The page; `figures` gives the file names of the pictures."""
    parts = [INTRODUCTION, _state(study)]
    if MAIN in study.tasks():
        parts += ["## What came out", *_answer(study), *_task(study, MAIN, figures), _contrasts(study)]
    else:
        parts.append(NOTHING_YET)
    parts += [part for task in study.tasks() if task != MAIN for part in _task(study, task, figures)]
    if study.tasks():
        parts += [_overall(study, figures), _power(study), _secondary(study)]
    parts += [_tuning(study), _warm_starts(study), METHOD, LIMITS]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _listed(words: Iterable[str]) -> str:
    words = list(words)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _state(study: Study) -> str:
    counts = [f"{len(study.pairs(task))} of {size.pairs} of `{task}`" for task, size in TASKS.items()]
    kind = "The study is complete" if study.is_complete() else "**This page is interim**, runs are missing"
    done, errors = len(study.rows), [row["run"] for row in study.rows.values() if not is_good(row)]
    lines = [f"{kind}: {done} of {total_runs()} runs are finished; complete pairs: {_listed(counts)}."]
    if errors:
        lines.append(f"Runs that failed twice: {_listed(errors)}.")
    for label, key in (("Commit", "commit"), ("Machine", "machine"), ("Versions", "versions")):
        found = sorted({row[key] for row in study.rows.values() if row[key]})
        lines += [f"{label}: {'; '.join(found)}."] if found else []
    return " ".join(lines)


def _interval(row: Mapping[str, Any]) -> str:
    return f"{signed(row['mean'])} ({signed(row['low'])} to {signed(row['high'])})"


def _iqm(row: Mapping[str, Any]) -> str:
    return f"{points(row['iqm'])} ({points(row['iqm_low'])} to {points(row['iqm_high'])})"


def _answer(study: Study) -> list[str]:
    rows = {row["arm"]: row for row in analysis.task_table(study, MAIN)}
    sentences = []
    for arm in ("egpo_token", "egpo_sequence", "placebo"):
        row = rows[arm]
        interval = f"{signed(row['mean'])} points, 95 % interval {signed(row['low'])} to {signed(row['high'])}"
        sentences.append(f"- `{arm}` beside `{BASE}` on `{MAIN}`: {interval}: **{row['verdict']}**.")
    pairs = rows["egpo_token"]["pairs"]
    words = (
        f'{pairs} pairs. "Better", "worse" and "equivalent" (within {MARGIN:g} points) are the words of the plan for '
        'adjusted p-values below 0.05; "undecided" is what the runs cannot tell.'
    )
    return ["\n".join(sentences), words]


def _task(study: Study, task: str, figures: Mapping[str, str]) -> list[str]:
    pairs = len(study.pairs(task))
    role = "main task, primary tests" if task == MAIN else "secondary"
    cells = []
    for row in analysis.task_table(study, task):
        start = [f"`{row['arm']}`", points(row["score"]), _iqm(row)]
        if row["arm"] == BASE:
            cells.append([*start, *["–"] * 6])
            continue
        p_values = [number(row[key]) for key in ("p", "holm", "holm_equivalence", "sign_flip")]
        cells.append([*start, _interval(row), *p_values, row["verdict"]])
    header = [
        "arm",
        "mean, %",
        "IQM, %",
        f"difference to `{BASE}`",
        "p",
        "Holm",
        "equivalence",
        "sign-flip p",
        "verdict",
    ]
    starts = analysis.by_warm_start(study, task)
    over = analysis.over_warm_starts(study, task)
    count = len(next(iter(starts.values())))
    by_start = table(
        ["arm", *(f"warm start {index}" for index in range(count)), "p over warm starts"],
        [[f"`{arm}`", *(signed(mean) for mean in means), number(over[arm])] for arm, means in starts.items()],
    )
    parts = [
        f"## `{task}` ({role})",
        f"Exact match at temperature 1, {pairs} pairs. p-values: paired t test, the same adjusted by Holm over the arms, "
        f"the two one-sided tests at ±{MARGIN:g} points adjusted likewise, and the exact sign-flip test.",
        table(header, cells),
    ]
    for key in (f"differences_{task}", f"curves_{task}"):
        if key in figures:
            parts.append(f"![{_caption(key)}](images/{figures[key]})")
    return [*parts, "Mean difference by warm start:", by_start]


def _caption(key: str) -> str:
    kind, task = key.split("_", 1)
    return {
        "differences": f"Differences to {BASE} on {task}, every pair, mean and 95 % interval",
        "curves": f"Reward in training on {task}, mean over the pairs",
    }[kind]


def _contrasts(study: Study) -> str:
    rows = [
        [f"`egpo_token` − `{arm}`", _interval(row),
         number(row["p"]), number(row["holm"]), number(row["holm_equivalence"]), row["verdict"]]
        for arm, row in analysis.contrast_table(study).items()
    ]  # fmt: skip
    header = ["contrast", "difference", "p", "Holm", "equivalence", "verdict"]
    return "### What the parts of the bonus do (secondary)\n\n" + table(header, rows)


def _overall(study: Study, figures: Mapping[str, str]) -> str:
    tasks, runs, _ = analysis.over_tasks(study)
    rows = []
    for row in analysis.overall_table(study):
        better = f"{row['better']:.2f} ({row['better_low']:.2f} to {row['better_high']:.2f})"
        rows.append([f"`{row['arm']}`", _iqm(row), "–" if row["arm"] == BASE else better])
    named = _listed(f"`{task}`" for task in tasks)
    text = f"## Over the tasks\n\n{named}, {runs} pairs each, with bootstrap intervals.\n\n"
    picture = f"\n\n![Performance profiles](images/{figures['profiles']})" if "profiles" in figures else ""
    return text + table(["arm", "IQM, %", f"probability of improvement over `{BASE}`"], rows) + picture


def _power(study: Study) -> str:
    rows = []
    for task in study.tasks():
        pairs = len(study.pairs(task))
        differences, single = analysis.spread(study, task)
        rows.append(
            [f"`{task}`", str(pairs), f"{single:.2f}", f"{differences:.2f}", f"{detectable(differences, pairs):.1f}"]
        )
    header = ["task", "pairs", "SD of a run", "SD of a difference", "difference seen with 80 % power, points"]
    return (
        "## What these runs can see\n\nStandard deviations in points, mean over the arms; the last column is for a single "
        "test at 5 %, without adjustment.\n\n" + table(header, rows)
    )


_NAMES = {
    "greedy": "greedy, %", "pass_at_k": "pass@k, %", "auc_reward": "mean reward, %", "cot_length": "thought, tokens",
    "cot_entropy": "thought, nats", "bonus_over_advantage": "bonus / abs(A)", "clipped": "clipped, %",
    "train_seconds": "training, CPU s",
}  # fmt: skip


def _secondary(study: Study) -> str:
    parts = ["## Secondary metrics", "Mean and standard deviation over the pairs; described, not tested."]
    for task in study.tasks():
        rows = []
        for arm, metrics in analysis.secondary_table(study, task).items():
            cells = [f"{mean:.3g} ± {deviation:.2g}" if mean == mean else "–" for mean, deviation in metrics.values()]
            rows.append([f"`{arm}`", *cells])
        parts += [f"`{task}`:", table(["arm", *_NAMES.values()], rows)]
    return "\n\n".join(parts)


def _tuning(study: Study) -> str:
    rows = []
    for arm, (found, chosen) in analysis.tuning_table(study).items():
        cells = [
            f"{value:g}: {', '.join(points(score) for score in scores) or '–'}" for value, scores in found.items()
        ]
        edge = chosen in (min(found), max(found))
        choice = "–" if chosen is None else f"**{chosen:g}**{' (edge)' if edge else ''}"
        rows.append([f"`{arm}`", ARMS[arm].name, *cells, choice])
    header = ["arm", "knob", "first value", "second value", "third value", "chosen"]
    return (
        f"## Tuning\n\nExact match at temperature 1 on rows for tuning, `{MAIN}`, one number a run, in per cent. "
        '"Edge": the best value is the smallest or largest of the grid.\n\n' + table(header, rows)
    )


def _warm_starts(study: Study) -> str:
    if not study.warm_starts:
        return ""
    rows = []
    for row in study.warm_starts:
        scores = [points(100 * float(row[key])) for key in ("exact_t1", "greedy", "pass_at_k")]
        rows.append([f"`{row['task']}`", row["warm_start"], row["seed"], f"`{row['weights']}`", *scores])
    header = ["task", "warm start", "seed", "SHA-256 of the weights", "exact match, %", "greedy, %", "pass@k, %"]
    return "## Where the runs start\n\n" + table(header, rows)
