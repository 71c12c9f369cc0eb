"""Scores answers with ACEBench's own `eval_main.py`: writes its layout, reads its verdicts."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...utils.files import write_json_lines
from ..official.checkout_suite import OfficialScores
from ..official.checkouts import read_json_lines
from ..official.process import VERDICTS, score_in_copy
from .data import MULTI_TURN, SPECIAL, Entry

CODE = (
    "eval_main.py", "category.py", "model_eval/checker.py", "model_eval/evaluation_helper.py", "model_eval/utils.py",
    "model_inference/utils.py", "model_inference/prompt_en.py", "model_inference/prompt_zh.py",
)  # fmt: skip
_MODEL = "egpo-trl"  # without "FC", which the official decoder takes for another syntax
_AGGREGATES = {
    "atom": "atom", "single_turn": "single_turn", "multi_turn": "multiple_turn", "normal": "normal_summary",
    "special": "special_summary", "Summary": "Summary",
}  # fmt: skip
_MALFORMED = "wrong_output_format"


def score_answers(
    checkout: Path,
    language: str,
    entries: Mapping[str, Sequence[Entry]],
    answers: Mapping[str, str],
    timeout_s: float,
    keep: Path | None = None,
) -> OfficialScores:
    """Score one answer to every entry with the official code, in a copy of what it needs of the checkout."""

    def lay_out(folder: Path) -> None:
        for name in CODE:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(checkout / name, folder / name)
        data, results = folder / "data_all" / f"data_{language}", folder / "result_all" / f"result_{language}" / _MODEL
        for category, chosen in entries.items():
            write_json_lines([entry.question for entry in chosen], data / f"data_{category}.json")
            write_json_lines([entry.answer for entry in chosen], data / "possible_answer" / f"data_{category}.json")
            lines = [{"id": entry.id, "result": answers[entry.id]} for entry in chosen]
            write_json_lines(lines, results / f"data_{category}_result.json")

    return score_in_copy(
        lay_out,
        "egpo_trl.evaluation.acebench.scorer",
        [language, _MODEL, str(timeout_s), *entries],
        lambda folder: _read_scores(folder, language, entries),
        timeout_s,
        None if keep is None else (keep, ("result_all", "score_all")),
    )


def _read_scores(folder: Path, language: str, entries: Mapping[str, Sequence[Entry]]) -> OfficialScores:
    score_dir = folder / "score_all" / f"score_{language}"
    found = json.loads((folder / VERDICTS).read_text(encoding="utf-8"))
    checked = found["verdicts"]
    verdicts: dict[str, str] = {}
    accuracies: dict[str, float] = {}
    for category, chosen in entries.items():
        head, *listed = read_json_lines(score_dir / _MODEL / f"data_{category}_score.json")
        accuracies[category] = float(head["accuracy"])
        reasons = {row["id"]: str(row["error_type"]) for row in listed}
        if category in SPECIAL:
            own = {entry.id: reasons.get(entry.id, "correct") for entry in chosen}
        else:
            own = _verdicts(chosen, reasons, checked.get(category, []))
        verdicts |= own
        share = accuracy_of(category, own)
        if head["total_count"] != len(chosen) or abs(share - accuracies[category]) > 6e-4:  # rounded to 3 digits
            raise ValueError(f"{category}: accuracy {head['accuracy']}, but {share:.4f} by the single verdicts")
    official = {"accuracy": accuracies, "sums": _read_aggregates(score_dir / "result.xlsx")}
    return OfficialScores(verdicts, official, found["protections"])


def _verdicts(entries: Sequence[Entry], reasons: Mapping[str, str], checked: Sequence[Any]) -> dict[str, str]:
    """Verdicts on answers of a normal category: the checker was called for each reference until one fitted."""
    calls = iter(checked)
    verdicts = {}
    for entry in entries:
        if reasons.get(entry.id) == _MALFORMED:
            verdicts[entry.id] = _MALFORMED
            continue
        truth = entry.answer["ground_truth"]
        first = None
        for _ in truth if isinstance(truth, list) else [truth]:
            verdict = next(calls)
            first = first or verdict
            if verdict is True:
                break
        verdicts[entry.id] = "correct" if verdict is True else str(first)
    if next(calls, None) is not None:
        raise ValueError("more verdicts than answers")
    return verdicts


def accuracy_of(category: str, verdicts: Mapping[str, str]) -> float:
    """Accuracy as the official code defines it: the share of answers, or of dialogues without a wrong answer."""
    right: dict[str, bool] = {}
    for entry_id, verdict in verdicts.items():
        unit = entry_id.rsplit("_", 1)[0] if category in MULTI_TURN else entry_id
        right[unit] = right.get(unit, True) and verdict == "correct"
    return sum(right.values()) / len(right)


def _read_aggregates(path: Path) -> dict[str, float]:
    from openpyxl import load_workbook

    workbook = load_workbook(path, read_only=True)
    try:
        names, values = list(workbook.active.iter_rows(values_only=True))
    finally:
        workbook.close()
    row = dict(zip(names, values, strict=True))
    return {ours: float(row[official]) for ours, official in _AGGREGATES.items()}
