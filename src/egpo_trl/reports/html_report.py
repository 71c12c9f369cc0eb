"""Writes the report of one run, or of several side by side, as one interactive HTML file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from .before_after import DECODINGS, score_table
from .curves import name_runs
from .glossary import METRICS, REASONS, meaning_of
from .html_page import differing_fields, page_context, section, table, write_page
from .panels import Line, Runs, make_panels, reason_shares
from .rollouts import read_rollouts
from .run_log import LogHistory, read_config, read_log, series

_MOST_POINTS = 1000  # of a line
_HOW_TO_READ = """Point at a curve to read its values, drag to zoom, click twice to see all, click a name to hide its line.
Thin: as logged. Thick: moving average over a tenth of the logs. Band: one standard deviation over the seeds."""
_BUDGET = 900_000  # characters of all rollouts of a page


@dataclass(frozen=True)
class RunFiles:
    """What a run left in its folder."""

    name: str
    folder: Path
    log: LogHistory
    config: Mapping[str, Any] | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    @property
    def fields(self) -> Mapping[str, Any]:
        """Fields of the configuration; empty if the run wrote none."""
        return dict(self.config["fields"]) if self.config else {}

    def rollouts(self, budget: int) -> list[dict[str, Any]]:
        """Its rollouts, with its name."""
        close = str((self.fields.get("think_tags") or ["<think>", "</think>"])[1])
        found = read_rollouts(self.folder, self.before, self.after, close, budget)
        return [{**item, "run": self.name, "group": f"{self.name}/{item['group']}"} for item in found]


def read_files(folder: Path, name: str | None = None) -> RunFiles:
    """Read the folder of a run; raises what [`write_html_report`] raises."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder. Name the output folder of a run.")
    log, config = read_log(folder), read_config(folder)
    before, after = (_read_summary(folder / f"{part}.json") for part in ("before", "after"))
    return RunFiles(name or folder.resolve().name, folder, log, config, before, after)


def _read_summary(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        keys = ("exact_match", "reasons", "completions")
        return {
            name: {"criterion": summary[name].get("criterion", "exact match"), **{k: summary[name][k] for k in keys}}
            for name in DECODINGS
            if name in summary
        } or None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not a summary of an evaluation: {error!r}.") from None


def write_html_report(run: str | Path, output: str | Path | None = None) -> Path:
    """
    Write the report of a run, finished or not, from the files in its output folder.

    The page is one file that works offline. What a run has not written yet, or never wrote, is left out.

    Args:
        run (`str` or `Path`):
            Output folder of the run.
        output (`str` or `Path`, *optional*):
            File to write; by default `report.html` in the output folder.

    Returns:
        `Path`:
            The report.

    Raises:
        FileNotFoundError: If the folder does not contain a log.
        ValueError: If one of its files is broken.
    """
    files = read_files(Path(run))
    return write_page(report_context(files), Path(output) if output is not None else files.folder / "report.html")


def report_context(files: RunFiles, budget: int = _BUDGET) -> dict[str, Any]:
    """What the template of the report shows of a run; the rollouts take at most `budget` characters."""
    held_out, verdicts = _held_out_table(files), _verdict_section(files)
    return page_context(
        f"Run {files.name}",
        _subtitle(files),
        tiles=_tiles(files),
        tables=[held_out] if held_out else [],
        sections=[_curves({files.name: files.log}), *([verdicts] if verdicts else [])],
        rollouts=files.rollouts(budget),
        details=[_metric_table(files.log), *_configuration(files)],
    )


def write_comparison_report(runs: Mapping[str, Sequence[str | Path]], output: str | Path) -> Path:
    """Write a report of several runs side by side."""
    settings = {
        name: [read_files(Path(p), name if len(paths) == 1 else f"{name}, seed {n}") for n, p in enumerate(paths, 1)]
        for name, paths in runs.items()
    }
    files = [one for seeds in settings.values() for one in seeds]
    context = page_context(
        " and ".join(settings) if len(settings) < 4 else f"{len(settings)} runs",
        "Runs side by side",
        tables=[_runs_table(files)],
        sections=[_curves({name: [one.log for one in seeds] for name, seeds in settings.items()})],
        rollouts=[item for one in files for item in one.rollouts(_BUDGET // len(files))],
        details=differing_fields({one.name: one.fields for one in files}),
    )
    return write_page(context, Path(output))


def write_report(runs: Sequence[str], output: str | Path | None = None, pattern: str | None = None) -> Path:
    """The report of one run, or of several side by side; names and seeds as in [`~egpo_trl.reports.curves.name_runs`]."""
    named = name_runs(runs, pattern)
    first = Path(next(iter(named.values()))[0])
    if sum(map(len, named.values())) == 1:
        return write_html_report(first, output)
    return write_comparison_report(named, output or first / "comparison.html")


def _number(value: Any) -> str:
    if not isinstance(value, int | float):
        return "" if value is None else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Means of the first and of the last tenth."""
    count = max(1, len(values) // 10)
    return fmean(values[:count]), fmean(values[-count:])


def _method(fields: Mapping[str, Any]) -> str:
    if not fields.get("egpo_lambda"):
        return "GRPO (lambda 0)"
    level = fields.get("entropy_level")
    return f"EGPO (lambda {fields['egpo_lambda']}, alpha {fields.get('egpo_alpha')}, {level} level)"


def _subtitle(files: RunFiles) -> str:
    if files.config is None:
        return "The run wrote no run_config.json."
    model, rows = files.fields.get("model_name_or_path"), files.fields.get("dataset_name")
    return f"{_method(files.fields)} · model {model} · rows {rows}"


def _progress(files: RunFiles) -> tuple[str, float | None]:
    """Steps done (of those planned), and the seconds of training of a finished run."""
    step = max((entry["step"] for entry in files.log), default=0)
    runtime = next((entry["train_runtime"] for entry in reversed(files.log) if "train_runtime" in entry), None)
    planned = files.fields.get("max_steps") or -1
    of = f" of {planned}" if isinstance(planned, int) and planned > 0 else ""
    return f"{step}{of}", float(runtime) if isinstance(runtime, int | float) else None


def _tiles(files: RunFiles) -> list[tuple[str, str]]:
    steps, runtime = _progress(files)
    tiles = [(steps, "steps, finished" if runtime is not None else "steps, not finished")]
    if runtime is not None:
        tiles.append((f"{runtime / 60:.1f}", "minutes of training"))
    for metric, label in (("reward", "reward"), ("egpo/cot_entropy", "chain-of-thought entropy, nats")):
        _, values = series(files.log, metric)
        if values:
            first, last = _ends(values)
            tiles.append((f"{first:.3f} → {last:.3f}", f"{label}: first and last tenth"))
    if files.before and files.after and "greedy" in files.before and "greedy" in files.after:
        old, new = (summary["greedy"]["exact_match"]["all"] for summary in (files.before, files.after))
        tiles.append((f"{_percent(old)} → {_percent(new)}", f"{files.before['greedy']['criterion']}, greedy, %"))
    return tiles


def _held_out_table(files: RunFiles) -> dict[str, Any] | None:
    found = score_table(files.before, files.after) if files.before else None
    return table(found[0], found[1].columns, found[1].rows) if found else None


def _runs_table(files: Sequence[RunFiles]) -> dict[str, Any]:
    header = ["run", "method", "steps", "minutes", "reward, last tenth"]
    header += [f"{name}, {when}, %" for name in DECODINGS for when in ("before", "after")]
    rows = []
    for one in files:
        steps, runtime = _progress(one)
        _, rewards = series(one.log, "reward")
        cells = [one.name, _method(one.fields) if one.config else "", steps]
        cells += ["" if runtime is None else f"{runtime / 60:.1f}", f"{_ends(rewards)[1]:.3f}" if rewards else ""]
        for name in DECODINGS:
            for half in (one.before, one.after):
                cells.append(_percent(half[name]["exact_match"]["all"]) if half and name in half else "")
        rows.append(cells)
    return table("Runs, with scores on held-out rows", header, rows, text_columns=2)


def _chart(title: str, unit: str, lines: Sequence[Line], height: int = 220) -> dict[str, Any]:
    """A chart over the steps of all of its lines; where a line lacks a point, its value is null."""
    thinned = []
    for line in lines:
        stride = max(1, -(-len(line.steps) // _MOST_POINTS))
        parts = {"values": line.values, "logged": line.logged, "low": line.low, "high": line.high}
        thinned.append((line, line.steps[::stride], {k: v[::stride] for k, v in parts.items() if v is not None}))
    steps = sorted({step for _, own, _ in thinned for step in own})
    drawn = []
    for line, own, kept in thinned:
        found = {key: dict(zip(own, values, strict=True)) for key, values in kept.items()}
        points = {
            key: [None if step not in column else float(f"{column[step]:.5g}") for step in steps]
            for key, column in found.items()
        }
        drawn.append({"label": line.label, "style": line.style, **points})
    return {"title": title, "unit": unit, "height": height, "steps": steps, "lines": drawn}


def _curves(runs: Runs) -> dict[str, Any]:
    charts = [_chart(panel.title, panel.unit, panel.lines) for panel in make_panels(runs)]
    return section(
        "Learning curves", charts, _HOW_TO_READ if charts else "There is nothing to draw: no run has logged a step."
    )


def _verdict_section(files: RunFiles) -> dict[str, Any] | None:
    steps, shares = reason_shares(files.log)
    lines = [Line(name, number, steps, values) for number, (name, values) in enumerate(shares.items())]
    charts = [_chart("Share of the rollouts with each verdict", "share", lines, 260)] if steps else []
    found = _verdict_table(files)
    return section("Verdicts", charts, table=found, wide=True) if charts or found else None


def _verdict_table(files: RunFiles) -> dict[str, Any] | None:
    summaries = {
        f"{decoding}, {name}": summary[decoding]["reasons"]
        for decoding in DECODINGS
        for name, summary in (("before", files.before), ("after", files.after))
        if summary is not None and decoding in summary
    }
    seen = {reason for counts in summaries.values() for reason in counts}
    if not seen:
        return None
    order = [*(reason for reason in REASONS if reason in seen), *sorted(seen - set(REASONS))]
    rows = [
        [reason, REASONS.get(reason, ""), *(counts.get(reason, 0) for counts in summaries.values())]
        for reason in order
    ]
    return table("", ["verdict on held-out rows", "meaning", *summaries], rows, text_columns=2)


def _metric_table(log: LogHistory) -> dict[str, Any]:
    names = {name for entry in log for name in entry if name != "step" and not name.startswith("reason/")}
    order = {name: place for place, name in enumerate(METRICS)}
    rows = []
    for name in sorted(names, key=lambda name: (order.get(name, len(order)), name)):
        _, values = series(log, name)
        if values:
            rows.append([name, meaning_of(name) or "", *map(_number, (*_ends(values), min(values), max(values)))])
    return table("Metrics", ["metric", "meaning", "first tenth", "last tenth", "lowest", "highest"], rows, 2)


def _configuration(files: RunFiles) -> list[dict[str, Any]]:
    if files.config is None:
        return []
    values, changed = files.fields, files.config["changed"]
    versions = " · ".join(f"{name} {version}" for name, version in dict(files.config["versions"]).items())
    others = sorted(set(values) - set(changed))

    def fields(title: str, names: Sequence[str]) -> dict[str, Any]:
        rows = [[name, json.dumps(values.get(name), ensure_ascii=False)] for name in names]
        return table(title, ["field", "value"], rows, text_columns=2)

    return [
        {**fields("Configuration", changed), "note": versions},
        {**fields(f"{len(others)} fields at their defaults", others), "folded": True},
    ]
