"""Scores answers with ACEBench's own `eval_main.py`: writes its layout, reads its verdicts."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..official.checkout_suite import OfficialScores
from ..official.checkouts import read_json_lines
from ..official.process import ScorerFailed, run_scorer
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
    with tempfile.TemporaryDirectory(prefix="acebench-") as parent:
        folder = Path(parent, "ACEBench")  # the official code also writes next to its own folder
        write_layout(checkout, folder, language, entries, answers)
        run_scorer(
            "egpo_trl.evaluation.acebench.scorer",
            ["--language", language, "--model", _MODEL, "--seconds", str(timeout_s), "--verdicts", "verdicts.json",
             *entries],
            folder, timeout_s,
        )  # fmt: skip
        try:
            scores = _read_scores(folder, language, entries)
        except Exception as error:  # the files may be anything, and a broken workbook raises anything
            raise ScorerFailed(
                f"the official scorer's files cannot be read: {type(error).__name__}: {error}"
            ) from None
        if keep is not None:
            for name in ("result_all", "score_all"):
                shutil.rmtree(keep / name, ignore_errors=True)
                shutil.copytree(folder / name, keep / name)
    return scores


def write_layout(
    checkout: Path,
    folder: Path,
    language: str,
    entries: Mapping[str, Sequence[Entry]],
    answers: Mapping[str, str],
) -> None:
    """Lay out a folder as the official `eval_main.py` expects its own."""
    for name in CODE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkout / name, folder / name)
    data = folder / "data_all" / f"data_{language}"
    for category, chosen in entries.items():
        _write_lines(data / f"data_{category}.json", [entry.question for entry in chosen])
        _write_lines(data / "possible_answer" / f"data_{category}.json", [entry.answer for entry in chosen])
        results = [{"id": entry.id, "result": answers[entry.id]} for entry in chosen]
        _write_lines(folder / "result_all" / f"result_{language}" / _MODEL / f"data_{category}_result.json", results)


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _read_scores(folder: Path, language: str, entries: Mapping[str, Sequence[Entry]]) -> OfficialScores:
    score_dir = folder / "score_all" / f"score_{language}"
    found = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
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
    """
    Verdict on each answer of a normal category, from the calls of the official checker in their order.

    An answer that cannot be decoded never reaches the checker. One that can is checked against the references until
    one fits.
    """
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
