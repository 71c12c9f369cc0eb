"""Files written for the official scorer, its process, and its verdicts read; with a stand-in scorer of our own."""

import json

import pytest

from egpo_trl.evaluation.api_bank.data import read_questions
from egpo_trl.evaluation.api_bank.scoring import score_answers
from egpo_trl.evaluation.official.process import ScorerFailed

ALARM = "AddAlarm-level-1-1"


def score(checkout, answers=None, level=1, keep=None, timeout=60.0, most=None):
    questions = read_questions(checkout, level)[:most]
    gold = {question.id: question.expected for question in questions}
    return score_answers(checkout, level, questions, {**gold, **(answers or {})}, timeout, keep)


def change(checkout, old, new):
    file = checkout / "evaluator_by_json.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_verdicts_are_the_scorer_s(checkout, tmp_path):
    answers = {
        f"{ALARM}_0": "I call [AddAlarm(token='abc', time='7:30')] now",
        f"{ALARM}_1": "[AddAlarm(token='abc', time='half past')]",
        f"{ALARM}_2": "no call",
    }
    scores = score(checkout, answers, keep=tmp_path / "kept")
    assert scores.verdicts == {
        f"{ALARM}_0": "correct",
        f"{ALARM}_1": "scorer_error: ValueError",
        f"{ALARM}_2": "no_call",
        "Translate-level-1-1_0": "wrong_call",  # its service has a stand-in
    }
    assert scores.official == {"total": 4, "correct": 1}
    lines = (tmp_path / "kept" / "predictions.json").read_text().splitlines()
    assert {"file": f"{ALARM}.jsonl", "id": 0, "pred": answers[f"{ALARM}_0"]}.items() <= json.loads(lines[0]).items()


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("[Translate(src='x')]", "wrong_function"),
        ("[AddAlarm(token='abc', hour='7')]", "unexpected_argument"),
        ("[AddAlarm(token='abc')]", "missing_argument"),
        ("[AddAlarm(token='xyz', time='7:00')]", "scorer_error: KeyError"),
        ("[AddAlarm(token='abc', time='9:00')]", "wrong_call"),
        ("", "no_call"),
    ],
)
def test_wrong_answers_have_reasons(checkout, answer, verdict):
    assert score(checkout, {f"{ALARM}_0": answer}, most=1).verdicts == {f"{ALARM}_0": verdict}


def test_every_answer_meets_a_fresh_world_and_level_2_its_search(checkout):
    scores = score(checkout, level=2)
    assert scores.verdicts == {"AddAlarm-level-3-1_0": "wrong_call", "AddAlarm-level-3-1_2": "correct"}


def test_the_checkout_is_not_touched(checkout):
    def state():
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in checkout.rglob("*")}

    begin = state()
    score(checkout)
    assert state() == begin


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("assert CLIENTS", "raise RuntimeError('no')", "RuntimeError: no"),
        ("assert CLIENTS", "import os; os._exit(0)", "cannot be read"),
        ('    data_dir = "somewhere"', "    data = 1", "does not set"),
        ("correct_api_calls += correct", "pass", "0 right calls, but 3 by the single verdicts"),
        ("total_api_calls = correct_api_calls = 0", "total_api_calls = 'x'; correct_api_calls = 0", "TypeError"),
        ("from tenacity", "from no_such_package", "No module named 'no_such_package'"),
    ],
)
def test_a_scorer_that_fails_is_one_clear_error(checkout, old, new, message):
    if "tenacity" in old:
        file = checkout / "utils.py"
        file.write_text(file.read_text().replace(old, new))
    else:
        change(checkout, old, new)
    with pytest.raises(ScorerFailed, match=message):
        score(checkout)


def test_a_scorer_that_hangs_is_ended(checkout):
    change(checkout, "assert CLIENTS", "while True: pass")
    with pytest.raises(ScorerFailed, match=r"did not end within 1 s|signal"):
        score(checkout, timeout=1.0)
