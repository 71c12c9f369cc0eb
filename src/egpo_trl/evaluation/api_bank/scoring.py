"""Scores answers with API-Bank's own `evaluator_by_json.py`: writes its input, reads its verdicts."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...utils.files import write_json_lines
from ..official.checkout_suite import OfficialScores
from ..official.process import VERDICTS, score_in_copy
from .data import DIALOGUES, Question

PREDICTIONS = "predictions.json"
CODE = (
    "evaluator_by_json.py", "tool_manager.py", "api_call_extraction.py", "utils.py", "apis", "init_database",
)  # fmt: skip


def score_answers(
    checkout: Path,
    level: int,
    questions: Sequence[Question],
    answers: Mapping[str, str],
    timeout_s: float,
    keep: Path | None = None,
) -> OfficialScores:
    """Score one answer to every question with the official code, in a copy of what it needs of the checkout."""

    def lay_out(folder: Path) -> None:
        folder.mkdir(parents=True)
        for name in CODE:
            if (checkout / name).is_dir():
                shutil.copytree(checkout / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(checkout / name, folder / name)
        (folder / DIALOGUES[level]).mkdir(parents=True)
        for file in sorted({question.file for question in questions}):
            shutil.copyfile(checkout / DIALOGUES[level] / file, folder / DIALOGUES[level] / file)
        lines = (
            {
                "file": question.file, "id": question.number, "pred": answers[question.id],
                "instruction": question.instruction, "input": question.input, "expected_output": question.expected,
            }
            for question in questions
        )  # fmt: skip
        write_json_lines(lines, folder / PREDICTIONS)

    return score_in_copy(
        lay_out,
        "egpo_trl.evaluation.api_bank.scorer",
        [DIALOGUES[level], PREDICTIONS, str(timeout_s)],
        lambda folder: _read_scores(folder / VERDICTS, questions),
        timeout_s,
        None if keep is None else (keep, (PREDICTIONS, VERDICTS)),
    )


def _read_scores(path: Path, questions: Sequence[Question]) -> OfficialScores:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    judged = {(file, number): verdict for file, number, verdict in found["verdicts"]}
    verdicts = {}
    for question in questions:
        verdict = judged.get((question.file, question.number), "no_call")
        verdicts[question.id] = "correct" if verdict is True else str(verdict)
    correct = sum(verdict == "correct" for verdict in verdicts.values())
    if correct != found["correct_api_calls"]:
        raise ValueError(f"{found['correct_api_calls']} right calls, but {correct} by the single verdicts")
    official = {"total": int(found["total_api_calls"]), "correct": correct}
    return OfficialScores(verdicts, official, found["protections"])
