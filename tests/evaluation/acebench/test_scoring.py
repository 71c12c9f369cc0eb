"""Files written for the official scorer, its process, and its files read; with a stand-in scorer of our own."""

import json

import pytest

from egpo_trl.evaluation.acebench.data import Prompts, read_entries
from egpo_trl.evaluation.acebench.scoring import accuracy_of, score_answers
from egpo_trl.evaluation.official.process import ScorerFailed

SINGLE, MULTI, SPECIAL = "normal_single_turn_single_function", "normal_multi_turn_user_adjust", "special_irrelevant"


def score(checkout, answers=None, categories=(SINGLE, MULTI, SPECIAL), keep=None, timeout=60.0):
    prompts = Prompts(checkout, "en")
    entries = {category: read_entries(checkout, "en", category) for category in categories}
    gold = {entry.id: prompts.reference(entry, category) for category, own in entries.items() for entry in own}
    return score_answers(checkout, "en", entries, {**gold, **(answers or {})}, timeout, keep)


def before(checkout, code):
    """Code that the scorer runs first."""
    file = checkout / "eval_main.py"
    file.write_text(f"{code}\n{file.read_text()}")


def after(checkout, code):
    """Code that the scorer runs last."""
    file = checkout / "eval_main.py"
    file.write_text(f"{file.read_text()}    {code}\n")


def test_verdicts_and_accuracies_are_the_scorer_s(checkout, tmp_path):
    answers = {
        f"{SINGLE}_0": "[set_timer(minutes=4)]",
        f"{SINGLE}_1": "[set_timer(minutes=3+4)]",  # the second reference
        f"{SINGLE}_2": "nine minutes",
        f"{MULTI}_0_1": "[lamp(on=__import__('os').system('true')+1)]",
        f"{MULTI}_1_0": "[set_timer()]",
        f"{SPECIAL}_0": "I will sing.",
    }
    scores = score(checkout, answers, keep=tmp_path / "kept")
    assert scores.verdicts == {
        f"{SINGLE}_0": "value_error",
        f"{SINGLE}_1": "correct",
        f"{SINGLE}_2": "wrong_output_format",
        f"{MULTI}_0_0": "correct",
        f"{MULTI}_0_1": "wrong_output_format",
        f"{MULTI}_1_0": "scorer_error: StopIteration",
        f"{SPECIAL}_0": "error_detection",
    }
    assert scores.official["accuracy"] == {SINGLE: 0.333, MULTI: 0.0, SPECIAL: 0.0}
    assert scores.official["sums"]["normal"] == pytest.approx(0.333 / 12)
    result = tmp_path / "kept" / "result_all" / "result_en" / "egpo-trl" / f"data_{SINGLE}_result.json"
    assert [json.loads(line)["id"] for line in result.read_text().splitlines()] == [f"{SINGLE}_{i}" for i in range(3)]
    assert (tmp_path / "kept" / "score_all" / "score_en" / "result.xlsx").is_file()


def test_the_checkout_is_not_touched(checkout):
    def state():
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in checkout.rglob("*")}

    begin = state()
    score(checkout)
    assert state() == begin


def test_several_dialogues_are_right_only_as_a_whole():
    verdicts = {f"{MULTI}_0_0": "correct", f"{MULTI}_0_1": "value_error", f"{MULTI}_1_0": "correct"}
    assert accuracy_of(MULTI, verdicts) == 0.5
    assert accuracy_of(SINGLE, verdicts) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise RuntimeError('no')", "RuntimeError: no"),
        ("import sys; sys.exit(3)", "status 3"),
        ("import os; os.abort()", "signal"),
        ("import ctypes; ctypes.string_at(0)", "ctypes.string_at is not allowed here"),
        ("import os; os._exit(0)", "cannot be read"),
        ("from urllib.request import urlopen; urlopen('http://127.0.0.1:9')", "urllib.Request is not allowed here"),
    ],
)
def test_a_scorer_that_fails_is_one_clear_error(checkout, code, message):
    before(checkout, code)
    with pytest.raises(ScorerFailed, match=message):
        score(checkout)


def test_a_scorer_that_hangs_is_ended(checkout):
    before(checkout, "while True: pass")
    with pytest.raises(ScorerFailed, match=r"did not end within 1 s|signal"):
        score(checkout, timeout=1.0)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (f"open('score_all/score_en/egpo-trl/data_{SINGLE}_score.json', 'w').write('not JSON')", "line 1"),
        (f"open('score_all/score_en/egpo-trl/data_{SINGLE}_score.json', 'w').write('{{}}')", "KeyError: 'accuracy'"),
        (f"open('score_all/score_en/egpo-trl/data_{SINGLE}_score.json', 'w').write("
         "'{\"accuracy\": 0.5, \"total_count\": 3}')", "accuracy 0.5, but 1.0000 by the single verdicts"),
        ("import os; os.remove('score_all/score_en/result.xlsx')", "FileNotFoundError"),
        ("open('score_all/score_en/result.xlsx', 'w').write('x')", "cannot be read"),
    ],
)  # fmt: skip
def test_a_scorer_whose_files_are_broken_is_one_clear_error(checkout, code, message):
    after(checkout, code)
    with pytest.raises(ScorerFailed, match=message):
        score(checkout)


def test_a_checker_that_is_not_asked_is_noticed(checkout):
    file = checkout / "eval_main.py"
    file.write_text(file.read_text().replace("found = normal_checker(", "found = (lambda *a: {'valid': True})("))
    with pytest.raises(ScorerFailed, match="cannot be read"):
        score(checkout)
