"""The report of a run as one HTML file: what it was, how it went, and what the model wrote before and after."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from .before_after import pick_samples, question_of
from .curves import curves_figure, reasons_figure
from .glossary import METRICS, REASONS, meaning_of
from .html_page import Markup, element, page, picture, show, table
from .run_log import LogHistory, read_config, read_log, series

_SAMPLES = 6
_DECODINGS = ("greedy", "sampled")


def write_html_report(run: str | Path, output: str | Path | None = None) -> Path:
    """
    Write the report of a run, finished or not, from the files in its output folder.

    The page holds everything it shows and runs no script. What a run has not written yet, or never wrote, is left out.

    Args:
        run (`str` or `Path`):
            Output folder of the run.
        output (`str` or `Path`, *optional*):
            File to write; by default `report.html` in the output folder.

    Returns:
        `Path`:
            The report.

    Raises:
        FileNotFoundError: If the folder holds no log.
        ValueError: If one of its files is broken.
    """
    run = Path(run)
    if not run.is_dir():
        raise FileNotFoundError(f"{run} is no folder. Name the output folder of a run.")
    log, config = read_log(run), read_config(run)
    before, after = (_read_summary(run / f"{name}.json") for name in ("before", "after"))
    name = run.resolve().name
    parts = [
        element("h1", f"Run {name}"),
        element("p", _subtitle(config), class_="quiet"),
        _tiles(log, config, before, after),
        _exact_match(before, after),
        _curves(log),
        _reasons(log, before, after),
        _samples(before, after, config),
        _rollouts(run, config),
        _metrics(log),
        _configuration(config),
    ]
    path = Path(output) if output is not None else run / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(page(f"Run {name}", *parts), encoding="utf-8")
    partial.replace(path)
    return path


def _read_summary(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        keys = ("exact_match", "reasons", "completions")
        return {name: {key: summary[name][key] for key in keys} for name in _DECODINGS if name in summary} or None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is no summary of an evaluation: {error!r}.") from None


def _section(title: str, *content: Any) -> Markup:
    return element("section", element("h2", title), *content)


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


def _subtitle(config: Mapping[str, Any] | None) -> str:
    if config is None:
        return "The run wrote no run_config.json."
    fields = config["fields"]
    method = "GRPO (lambda 0)"
    if fields.get("egpo_lambda"):
        level = fields.get("entropy_level")
        method = f"EGPO (lambda {fields['egpo_lambda']}, alpha {fields.get('egpo_alpha')}, {level} level)"
    return f"{method} · model {fields.get('model_name_or_path')} · rows {fields.get('dataset_name')}"


def _tiles(
    log: LogHistory,
    config: Mapping[str, Any] | None,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> Markup:
    step = max((entry["step"] for entry in log), default=0)
    runtime = next((entry["train_runtime"] for entry in reversed(log) if "train_runtime" in entry), None)
    planned = (config or {"fields": {}})["fields"].get("max_steps") or -1
    of = f" of {planned}" if isinstance(planned, int) and planned > 0 else ""
    tiles = [("steps, finished" if runtime is not None else "steps, not finished", f"{step}{of}")]
    if isinstance(runtime, int | float):
        tiles.append(("minutes of training", f"{runtime / 60:.1f}"))
    for metric, label in (("reward", "reward"), ("egpo/cot_entropy", "chain-of-thought entropy, nats")):
        _, values = series(log, metric)
        if values:
            first, last = _ends(values)
            tiles.append((f"{label}: first and last tenth", f"{first:.3f} → {last:.3f}"))
    if before and after and "greedy" in before and "greedy" in after:
        old, new = (summary["greedy"]["exact_match"]["all"] for summary in (before, after))
        criterion = before["greedy"].get("criterion", "exact match")
        tiles.append((f"{criterion}, greedy, %", f"{_percent(old)} → {_percent(new)}"))
    return element(
        "div", *(element("div", element("b", value), label, class_="tile") for label, value in tiles), class_="tiles"
    )


def _exact_match(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Markup:
    if before is None:
        return Markup("")
    decodings = [name for name in _DECODINGS if name in before and (after is None or name in after)]
    header = ["rows"]
    for name in decodings:
        header += [f"{name}, before"] if after is None else [f"{name}, before", "after", "gain"]
    rows = []
    for kind in before[decodings[0]]["exact_match"] if decodings else ():
        cells = [kind]
        for name in decodings:
            old = before[name]["exact_match"].get(kind, 0.0)
            cells.append(_percent(old))
            if after is not None:
                new = after[name]["exact_match"].get(kind, 0.0)
                cells += [_percent(new), f"{100 * (new - old):+.1f}"]
        rows.append(cells)
    count = len(before[decodings[0]]["completions"]) if decodings else 0
    criterion = (before[decodings[0]] if decodings else {}).get("criterion", "exact match").capitalize()
    return _section(f"{criterion} on {count} held-out rows, in %", table(header, rows, numbers=range(1, len(header))))


def _curves(log: LogHistory) -> Markup:
    try:
        figure = curves_figure({"run": log})
    except ValueError as error:
        return _section("Learning curves", element("p", error))
    note = "Thin: as logged. Thick: moving average over a tenth of the logs."
    return _section(
        "Learning curves", picture(figure, "Learning curves of the run"), element("p", note, class_="quiet")
    )


def _reasons(log: LogHistory, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Markup:
    content = []
    if any(name.startswith("reason/") for entry in log for name in entry):
        content.append(picture(reasons_figure(log), "Share of rollouts with each verdict over the run"))
    summaries = {
        f"{decoding}, {name}": summary[decoding]["reasons"]
        for decoding in _DECODINGS
        for name, summary in (("before", before), ("after", after))
        if summary is not None and decoding in summary
    }
    seen = {reason for counts in summaries.values() for reason in counts}
    if seen:
        order = [*(reason for reason in REASONS if reason in seen), *sorted(seen - set(REASONS))]
        rows = [
            [
                element("code", reason),
                REASONS.get(reason, ""),
                *(counts.get(reason, 0) for counts in summaries.values()),
            ]
            for reason in order
        ]
        header = ["verdict on held-out rows", "meaning", *summaries]
        content.append(table(header, rows, numbers=range(2, len(header))))
    return _section("Verdicts", *content) if content else Markup("")


def _shaded(tokens: Sequence[Sequence[Any]], largest: float) -> Markup:
    """Tokens; those of the chain of thought the darker, the higher their entropy."""
    parts = []
    for text, entropy, in_cot in tokens:
        if in_cot:
            share = min(1.0, float(entropy) / largest) if largest > 0 else 0.0
            style = f"background: rgba(230, 159, 0, {share:.2f})"
            parts.append(element("span", text, style=style, title=f"{float(entropy):.3f} nats"))
        else:
            parts.append(show(text))
    return Markup("".join(parts))


def _split(sample: Mapping[str, Any], close: str) -> tuple[list[Any], list[Any]]:
    """Tokens of a completion up to and with the closing think tag, and those behind it, without blank lines between."""
    text, tokens = str(sample["completion"]), list(sample.get("tokens") or ())
    measured = "".join(str(token[0]) for token in tokens)
    if not text.startswith(measured):
        tokens, measured = [], ""
    tokens.append([text[len(measured) :], 0.0, False])  # entropies of a long completion end before it does
    end = text.find(close) + len(close) if close in text else 0
    thought: list[Any] = []
    answer: list[Any] = []
    place = 0
    for piece, entropy, in_cot in tokens:
        cut = min(max(end - place, 0), len(piece))
        thought.append([piece[:cut], entropy, in_cot])
        behind = piece[cut:] if answer else piece[cut:].lstrip("\n")
        if behind:
            answer.append([behind, entropy, in_cot])
        place += len(piece)
    return [token for token in thought if token[0]], answer


def _completion(name: str, sample: Mapping[str, Any], close: str, largest: float) -> Markup:
    right = bool(sample["score"])
    verdict = "right" if right else "wrong"
    badge = element("span", f"✓ {verdict}" if right else f"✗ {verdict}: {sample['reason']}", class_=f"badge {verdict}")
    thought, answer = _split(sample, close)
    blocks = [element("div", element("pre", _shaded(thought, largest)), class_="cot")] if thought else []
    blocks.append(element("div", element("pre", _shaded(answer, largest)), class_=f"answer {verdict}"))
    return element("div", element("h3", f"{name}: ", badge), *blocks)


def _samples(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, config: Mapping[str, Any] | None
) -> Markup:
    if not before or "greedy" not in before:
        return Markup("")
    finished = bool(after and "greedy" in after)
    last = after if after and finished else before  # during a run there is only what the model wrote before
    pairs = list(zip(before["greedy"]["completions"], last["greedy"]["completions"], strict=False))
    measured = [pair for pair in pairs if pair[0].get("tokens") and pair[1].get("tokens")]
    pairs = measured or pairs
    indices = pick_samples(
        {"completions": [old for old, _ in pairs]}, {"completions": [new for _, new in pairs]}, _SAMPLES
    )
    chosen = [pairs[index] for index in indices]
    largest = max(
        (
            float(entropy)
            for pair in chosen
            for sample in pair
            for _, entropy, in_cot in sample.get("tokens") or ()
            if in_cot
        ),
        default=0.0,
    )
    content = []
    if measured:
        legend = element("span", "", class_="bar")
        content.append(
            element(
                "p",
                "Shade of a token in the chain of thought: entropy of the model that wrote it, 0 ",
                legend,
                f" {largest:.2f} nats. Greedy decoding.",
                class_="quiet",
            )
        )
    for old, new in chosen:
        content.append(
            element(
                "div",
                element("p", element("b", "Request: "), question_of(new["prompt"])),
                element("p", element("b", "Reference: "), element("code", new["reference"])),
                element(
                    "div",
                    _completion("before", old, _close_tag(config), largest),
                    *([_completion("after", new, _close_tag(config), largest)] if finished else []),
                    class_="pair",
                ),
                class_="sample",
            )
        )
    return _section("Completions before and after" if finished else "Completions before training", *content)


def _close_tag(config: Mapping[str, Any] | None) -> str:
    return str(((config or {"fields": {}})["fields"].get("think_tags") or ["<think>", "</think>"])[1])


def _read_rollouts(run: Path) -> tuple[str, list[dict[str, Any]]] | None:
    """The latest table of completions that TRL wrote (`log_completions: true`): its file name and rows."""
    import pyarrow.parquet
    from pyarrow.lib import ArrowException

    for path in sorted((run / "completions").glob("*.parquet"), reverse=True):
        try:
            return path.name, pyarrow.parquet.read_table(path).to_pylist()
        except (ArrowException, OSError):  # it is being written
            continue
    return None


def _rollout_text(completion: Any) -> str:
    if isinstance(completion, str):
        return completion
    parts = []
    for message in completion:
        parts.append(str(message.get("content") or ""))
        if message.get("tool_calls"):
            parts.append(json.dumps(message["tool_calls"], ensure_ascii=False, default=str))
    return "\n".join(part for part in parts if part)


def _rollouts(run: Path, config: Mapping[str, Any] | None) -> Markup:
    found = _read_rollouts(run)
    if found is None or not all("reason" in row for row in found[1]):
        return Markup("")
    name, rows = found
    by_prompt: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_prompt.setdefault(str(row["prompt"]), []).append(row)
    content = [
        element(
            "p", f"Of the latest table, {name}: one completion that was right and one that was not, where there are."
        )
    ]
    for group in list(by_prompt.values())[:_SAMPLES]:
        pair = {row["reason"] == "correct": row for row in reversed(group)}
        blocks = [
            _completion(
                f"advantage {row['advantage']:+.2f}" if isinstance(row.get("advantage"), float) else "rollout",
                {"completion": _rollout_text(row["completion"]), "score": right, "reason": row["reason"]},
                _close_tag(config),
                0.0,
            )
            for right, row in sorted(pair.items())
        ]
        content.append(
            element(
                "div",
                element("p", element("b", "Request: "), question_of(group[0]["prompt"])),
                element("div", *blocks, class_="pair"),
                class_="sample",
            )
        )
    return _section("Rollouts", *content)


def _metrics(log: LogHistory) -> Markup:
    names = {name for entry in log for name in entry if name != "step" and not name.startswith("reason/")}
    order = {name: place for place, name in enumerate(METRICS)}
    rows = []
    for name in sorted(names, key=lambda name: (order.get(name, len(order)), name)):
        _, values = series(log, name)
        if values:
            figures = [*_ends(values), min(values), max(values)]
            rows.append([element("code", name), meaning_of(name) or "", *(_number(value) for value in figures)])
    header = ["metric", "meaning", "first tenth", "last tenth", "lowest", "highest"]
    return _section("Metrics", table(header, rows, numbers=range(2, 6)))


def _configuration(config: Mapping[str, Any] | None) -> Markup:
    if config is None:
        return Markup("")

    def fields(names: Sequence[str]) -> Markup:
        values = config["fields"]
        shown = [
            [element("code", name), element("code", json.dumps(values.get(name), ensure_ascii=False))]
            for name in names
        ]
        return table(["field", "value"], shown)

    others = sorted(set(config["fields"]) - set(config["changed"]))
    return _section(
        "Configuration",
        element("p", " · ".join(f"{name} {version}" for name, version in dict(config["versions"]).items())),
        fields(config["changed"]),
        element("details", element("summary", f"{len(others)} fields at their defaults"), fields(others)),
    )
