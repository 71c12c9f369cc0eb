"""The tasks of the study, and one run of each kind from the warm start to its row."""

import dataclasses
import json
import random

import pytest

from benchmarks.study import distractors, tasks, warm_starts
from benchmarks.study.design import TASKS as SIZES
from benchmarks.study.one_run import train_and_measure
from benchmarks.study.order import Run
from benchmarks.study.store import COLUMNS
from egpo_trl.rewards.tool_call import ToolCallReward

SINGLE = [name for name, task in tasks.TASKS.items() if task.tool_rounds is None]


def test_every_task_of_the_design_is_there():
    assert set(tasks.TASKS) == set(SIZES) == set(warm_starts.RANGES)
    assert set(tasks.TASKS) == set(warm_starts.SCRATCH) | set(warm_starts.FURTHER)


@pytest.mark.parametrize("name", SINGLE)
def test_training_tuning_and_measurement_share_no_text(name):
    task = dataclasses.replace(tasks.TASKS[name], tuning_rows=50, test_rows=50)
    texts = [
        {row["prompt"][-1]["content"] for row in rows}
        for rows in (task.held_out_rows(True), task.held_out_rows(False), task.rows(task.training_sources(1), "train"))
    ]
    assert not texts[0] & texts[1] | texts[0] & texts[2] | texts[1] & texts[2]
    assert len(texts[2]) == task.steps * task.prompts


@pytest.mark.parametrize("name", SINGLE)
def test_what_supervised_training_reads_is_right(name):
    reward, rng = ToolCallReward("hermes", thinking="required"), random.Random(0)
    for query in tasks.TASKS[name].draw(60, 3, "train"):
        if name == "distractors":
            text = distractors.demonstrate_search(rng, query, tasks.RIGHT)
        else:
            text = tasks.demonstrations.demonstrate(rng, query, tasks.RIGHT)
        row = query.row("")
        assert reward.judge(text, row["reference"], row["tools"], row["prompt"]).score == 1.0, text


def test_right_rollouts_make_the_calls_of_the_reference():
    task, rng = tasks.TASKS["multi_turn"], random.Random(0)
    for scenario in task.draw(60, 3, "train"):
        turns = tasks.multi_turn_demonstrations.demonstrate(rng, scenario, tasks.RIGHT_ROLLOUTS)
        calls = [[turn.call._asdict()] for turn in turns if turn.call is not None]
        assert [*calls, []] == json.loads(scenario.row("")["trajectory"])


def test_the_larger_world_offers_the_twin_of_what_it_asks_for():
    for query in distractors.make_queries(80, 0, "train"):
        offered = [tool.name for tool in query.tools]
        assert len(offered) == len(set(offered)) == distractors.OFFERED
        for request in query.requests:
            assert {request.tool.name, distractors._TWIN_OF[request.tool.name].name} <= set(offered)
        for name in offered:
            assert name in {tool.name for tool in distractors.ALL_TOOLS}


@pytest.mark.parametrize("arm", ["egpo_token", "sft"])
def test_a_run_gives_every_number_of_its_row(arm, tmp_path, monkeypatch):
    small = dataclasses.replace(tasks.TASKS["single_turn"], steps=2, prompts=8, test_rows=3, tuning_rows=2, samples=2)
    monkeypatch.setitem(tasks.TASKS, "single_turn", small)
    monkeypatch.setitem(warm_starts.RANGES, "single_turn", (0.0, 1.0))
    monkeypatch.setattr("benchmarks.study.one_run.SFT_BATCH", 4)
    metrics, curves = train_and_measure(Run("fresh", "single_turn", arm, 0.4, 0, 1), 2e-4, 0.5, tmp_path)
    assert set(metrics) <= set(COLUMNS)
    assert 0 <= metrics["exact_t1"] <= metrics["pass_at_k"] <= 1
    assert metrics["steps"] >= 1
    if arm == "sft":
        assert curves == {}
        assert metrics["train_seconds"] >= 0.5
    else:
        assert {name: len(curve) for name, curve in curves.items()} == dict.fromkeys(curves, 2)
        assert 0 < metrics["bonus_over_advantage"] <= 0.5
    assert json.loads((tmp_path / "warm_starts" / "single_turn-0" / "measured.json").read_text())["seed"] == 0
