"""API-Bank as a suite, from items to the table, with a stand-in scorer of our own."""

import json

import pytest

from egpo_trl.cli import main
from egpo_trl.evaluation.api_bank.suite import APIBank
from egpo_trl.evaluation.records import Sample
from egpo_trl.sampling.completion import Completion
from egpo_trl.sampling.sampler import PromptFormat
from tests.evaluation.conversations import hold, scores_of


def gold(row):
    return row["gold"]


def test_scores_and_gold_by_category(checkout, tmp_path):
    suite = APIBank(repo=str(checkout))
    scored, summary = scores_of(suite, lambda row: "?" if row["id"].endswith("_2") else gold(row), tmp_path)
    assert scored == {
        "AddAlarm-level-1-1_0": (1.0, "correct"),
        "AddAlarm-level-1-1_1": (1.0, "correct"),
        "AddAlarm-level-1-1_2": (0.0, "no_call"),
        "Translate-level-1-1_0": (0.0, "wrong_call"),
    }
    assert {row.category: row.score for row in summary.rows} == {
        "calls": pytest.approx(2 / 3), "web": 0.0, "level 1": pytest.approx(0.5),
    }  # fmt: skip
    assert summary.gold == {"calls": 1.0, "web": 0.0, "level 1": pytest.approx(0.75)}
    assert summary.extra["official"] == [{"total": 4, "correct": 2}]
    assert summary.extra["gold_failures"] == {"Translate-level-1-1_0": "wrong_call"}
    assert "cannot be right" in summary.markdown()


def test_level_2_has_its_tool_search_apart(checkout, tmp_path):
    suite = APIBank(repo=str(checkout), level=2)
    _, summary = scores_of(suite, gold, tmp_path)
    assert summary.gold == {"calls": 1.0, "tool_search": 0.0, "level 2": 0.5}


def test_native_calls_are_scored_and_unsampled_ones_are_wrong(checkout, tmp_path):
    suite = APIBank(repo=str(checkout), max_per_category=1)
    call = '<tool_call>{"name": "AddAlarm", "arguments": {"token": "abc", "time": "7:00"}}</tool_call>'
    suite.begin(PromptFormat())
    samples = hold(suite, lambda row: f"<think>x</think>{call}")
    samples += [Sample(one.item, 1, (Completion(call, finish_reason="prompt_too_long"),)) for one in samples]
    scored = {(one.id, one.sample): one.reason for one in suite.score(samples, tmp_path)}
    assert scored == {
        ("AddAlarm-level-1-1_0", 0): "correct", ("AddAlarm-level-1-1_0", 1): "no_call",
        ("Translate-level-1-1_0", 0): "wrong_function", ("Translate-level-1-1_0", 1): "no_call",
    }  # fmt: skip


def test_the_official_prompt(checkout):
    suite = APIBank(repo=str(checkout), benchmark_prompt="official")
    suite.begin(PromptFormat())
    assert "API descriptions" in suite.items()[0].row["prompt"][0]["content"]


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="level must be one of 1, 2, got 3"):
        APIBank(level=3)


def test_a_question_that_cannot_be_understood_is_named(checkout):
    file = checkout / "json_test_data" / "level-1-api.json"
    records = json.loads(file.read_text())
    records[0]["instruction"] = "API descriptions:\n{}"
    file.write_text(json.dumps(records))
    suite = APIBank(repo=str(checkout))
    suite.begin(PromptFormat())
    with pytest.raises(ValueError, match=r"question 0 of AddAlarm-level-1-1\.jsonl: KeyError"):
        suite.items()


def test_without_a_checkout_the_command_says_where_to_get_it(tmp_path):
    with pytest.raises(SystemExit, match=r"(?s)--repo is missing.*DAMO-ConvAI.*5c38bb7.*folder api-bank"):
        main(["evaluate", "api-bank", "--model", "gold", "--output_dir", str(tmp_path)])


def test_the_command_from_start_to_end(checkout, tmp_path, capsys):
    output = tmp_path / "run"
    words = ["api-bank", "--model", "gold", "--repo", str(checkout), "--level", "2", "--output_dir", str(output)]
    main(["evaluate", *words])
    assert "level 2" in capsys.readouterr().out
    summary = json.loads((output / "summary.json").read_text())
    assert summary["options"]["level"] == 2
    assert summary["gold"] == {"calls": 1.0, "tool_search": 0.0, "level 2": 0.5}
