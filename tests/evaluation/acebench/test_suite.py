"""ACEBench as a suite, from items to the table, with a stand-in scorer of our own."""

import json
import logging

import pytest

from egpo_trl.cli import main
from egpo_trl.evaluation.acebench.data import SPECIAL
from egpo_trl.evaluation.acebench.suite import ACEBench
from egpo_trl.evaluation.records import Sample
from egpo_trl.sampling.completion import Completion
from egpo_trl.sampling.sampler import PromptFormat
from tests.evaluation.conversations import hold, scores_of

CATEGORIES = "normal_single_turn_single_function,normal_multi_turn_user_adjust,special"
SINGLE, MULTI = CATEGORIES.split(",")[:2]


def gold(row):
    return row["gold"]


def test_gold_answers_are_right_and_stand_beside_the_model_s(checkout, tmp_path, caplog):
    suite = ACEBench(repo=str(checkout), categories=CATEGORIES)
    with caplog.at_level(logging.WARNING):
        scored, summary = scores_of(suite, lambda row: "nothing" if "_0" in row["id"] else gold(row), tmp_path)
    assert "Not as tested: eval_main.py (sha256 " in caplog.text
    assert scored == {
        f"en_{SINGLE}_0": (0.0, "wrong_output_format"),
        f"en_{SINGLE}_1": (1.0, "correct"),
        f"en_{SINGLE}_2": (1.0, "correct"),
        f"en_{MULTI}_0": (0.0, "wrong_output_format"),
        f"en_{MULTI}_1": (0.0, "wrong_output_format"),
        "en_special_incomplete_0": (0.0, "error_detection"),
        "en_special_error_param_0": (0.0, "error_detection"),
        "en_special_irrelevant_0": (0.0, "error_detection"),
    }
    assert set(summary.gold.values()) == {1.0}
    assert summary.gold.keys() == {row.category for row in summary.rows}
    assert next(row for row in summary.rows if row.category == "special").weights == {
        category: pytest.approx(1 / 3) for category in SPECIAL
    }
    assert summary.extra["official"][0]["accuracy"][SINGLE] == 0.667
    assert "gold, %" in summary.markdown()
    assert "agent part is not covered" in summary.markdown()


def test_a_dialogue_is_asked_turn_by_turn_with_the_benchmark_s_history(checkout):
    suite = ACEBench(
        repo=str(checkout), categories="normal_multi_turn_user_adjust,normal_atom_bool", max_per_category=1
    )
    suite.begin(PromptFormat())
    samples = hold(suite, lambda row: str(len(row["prompt"])))
    assert [[one.text for one in sample.completions] for sample in samples] == [["1", "4"], ["1"]]


def test_what_was_never_sampled_is_wrong_and_samples_do_not_mix(checkout, tmp_path):
    suite = ACEBench(repo=str(checkout), categories="normal_atom_bool,special_irrelevant", language="zh")
    suite.begin(PromptFormat(style="paper"))
    samples = hold(suite, gold, 0)
    samples += [Sample(one.item, 1, (Completion("[lamp(on=False)]", finish_reason="error"),)) for one in samples]
    scored = {(one.id, one.sample): one.score for one in suite.score(samples, tmp_path)}
    assert scored == {
        ("zh_normal_atom_bool_0", 0): 1.0, ("zh_normal_atom_bool_0", 1): 0.0,
        ("zh_special_irrelevant_0", 0): 1.0, ("zh_special_irrelevant_0", 1): 0.0,
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "official").iterdir()} == {"gold", "sample_0", "sample_1"}


def test_native_calls_are_scored(checkout, tmp_path):
    suite = ACEBench(repo=str(checkout), categories="normal_atom_bool")
    call = '<think>x</think><tool_call>\n{"name": "lamp", "arguments": {"on": false}}\n</tool_call>'
    scored, _ = scores_of(suite, lambda row: call, tmp_path)
    assert scored == {"en_normal_atom_bool_0": (1.0, "correct")}


def test_the_official_prompt_goes_with_the_native_style(checkout):
    suite = ACEBench(repo=str(checkout), categories="normal_atom_bool", benchmark_prompt="official")
    suite.begin(PromptFormat())
    assert suite.items()[0].row["turns"][0]["prompt"][1]["content"] == "Dialogue:\nuser: Lamp off.\n"
    with pytest.raises(ValueError, match="benchmark_prompt='official'"):
        suite.begin(PromptFormat(style="paper"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "fr"}, "language must be one of"),
        ({"categories": "agent"}, "'agent' is unknown or not evaluated here"),
        ({"scorer_timeout": 0}, "scorer_timeout must be"),
        ({"max_per_category": 0}, "max_per_category must be"),
        ({"subset": "random"}, "subset must be"),
        ({"benchmark_prompt": "mine"}, "benchmark_prompt must be"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ACEBench(**options)


@pytest.mark.parametrize("repo", [None, "nowhere"])
def test_without_a_checkout_the_command_says_where_to_get_it(repo, tmp_path):
    words = ["acebench", "--model", "gold", "--output_dir", str(tmp_path), *(["--repo", repo] if repo else [])]
    with pytest.raises(SystemExit, match=r"(?s)egpo-trl evaluate acebench: --repo.*github.com/ACEBench.*e6db74b"):
        main(["evaluate", *words])


def test_a_missing_package_is_named(checkout, monkeypatch):
    monkeypatch.setattr(ACEBench, "imports", ("pandas", "no_such_package"))
    with pytest.raises(ValueError, match=r"needs no_such_package.*pip install 'egpo-trl\[acebench\]'"):
        ACEBench(repo=str(checkout), categories="special").begin(PromptFormat())


def test_an_entry_that_cannot_be_understood_is_named(checkout):
    file = checkout / "data_all" / "data_en" / "data_normal_atom_bool.json"
    file.write_text('{"id": "normal_atom_bool_0", "question": "user: a", "function": [{"description": "no name"}]}\n')
    suite = ACEBench(repo=str(checkout), categories="normal_atom_bool")
    suite.begin(PromptFormat())
    with pytest.raises(ValueError, match=r"entry 'normal_atom_bool_0'.*lacks a 'name'"):
        suite.items()


def test_the_command_from_start_to_end(checkout, tmp_path, capsys):
    output = tmp_path / "run"
    words = ["acebench", "--model", "gold", "--categories", CATEGORIES, "--output_dir", str(output), "--repo"]
    main(["evaluate", *words, str(checkout)])
    assert "100.0" in capsys.readouterr().out
    summary = json.loads((output / "summary.json").read_text())
    assert {row["category"]: row["score"] for row in summary["rows"]}[MULTI] == 1.0
    assert {"limits", "audit"} <= set(summary["extra"]["protections"])
    assert len((output / "scores.jsonl").read_text().splitlines()) == 8


def test_a_scorer_that_fails_loses_no_completion(checkout, tmp_path):
    output = tmp_path / "run"
    words = ["acebench", "--model", "gold", "--categories", CATEGORIES, "--output_dir", str(output), "--repo"]
    script = checkout / "eval_main.py"
    source = script.read_text()
    script.write_text("raise RuntimeError('broken')")
    with pytest.raises(SystemExit, match="RuntimeError: broken"):
        main(["evaluate", *words, str(checkout)])
    journal = (output / "completions.jsonl").read_bytes()
    script.write_text(source)
    main(["evaluate", *words, str(checkout.rename(tmp_path / "elsewhere")), "--scorer_timeout", "900"])
    assert (output / "summary.json").is_file()
    assert (output / "completions.jsonl").read_bytes() == journal
