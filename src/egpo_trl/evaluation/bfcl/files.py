"""Writes result and score files in the layout of the official package."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...utils.files import write_json_lines
from .categories import category_of, folder_of


def _by_category(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        found[category_of(entry["id"])].append(entry)

    def position(entry: Mapping[str, Any]) -> int:  # `live_simple_19-3-15` is the twentieth
        return int(entry["id"].rsplit("_", 1)[1].split("-")[0])

    return {category: sorted(found[category], key=position) for category in found}


def _write(folder: Path, kind: str, model: str, category: str, lines: Iterable[Mapping[str, Any]]) -> None:
    path = folder / kind / model.replace("/", "_") / folder_of(category) / f"BFCL_v4_{category}_{kind}.json"
    write_json_lines(lines, path, errors="replace")  # a lone surrogate becomes `?`


def write_results(folder: Path, model: str, results: Iterable[Mapping[str, Any]]) -> None:
    """Write `result/<model>/<group>/BFCL_v4_<category>_result.json`."""
    for category, entries in _by_category(results).items():
        _write(folder, "result", model, category, entries)


def write_scores(folder: Path, model: str, verdicts: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Write `score/<model>/<group>/BFCL_v4_<category>_score.json`: the accuracy, then each entry that failed."""
    accuracies = {}
    for category, entries in _by_category({**verdict, "id": id} for id, verdict in verdicts.items()).items():
        failed = [entry for entry in entries if not entry["valid"]]
        correct = len(entries) - len(failed)
        accuracies[category] = correct / len(entries)
        header = {"accuracy": accuracies[category], "correct_count": correct, "total_count": len(entries)}
        named = [{**entry, "model_name": model.replace("/", "_")} for entry in failed]
        _write(folder, "score", model, category, [header, *named])
    return accuracies
