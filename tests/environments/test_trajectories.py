"""Trajectory rows: checks before training, and the same rows step by step."""

import json
import re

import pytest
from datasets import Dataset

from egpo_trl import ToolCallReward
from egpo_trl.data.rows import check_rows
from egpo_trl.demo.multi_turn_world import make_rows
from egpo_trl.environments import ENVIRONMENTS
from egpo_trl.environments.trajectories import step_messages, stepwise_rows, trajectory_problem
from egpo_trl.tool_calls.calls import ToolCall

ROWS = make_rows(60, seed=5)
THREE = next(row for row in ROWS if row["kind"] == "three steps")
CALLED = [call["name"] for step in json.loads(THREE["trajectory"]) for call in step]


def test_good_rows_pass():
    check_rows(Dataset.from_list(ROWS), "rows", ["prompt", "reference"])
    assert not any(trajectory_problem(row, ENVIRONMENTS) for row in ROWS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"environment": "kitchen"}, "field 'environment': 'kitchen' is not one of"),
        ({"environment": None}, "field 'environment'"),
        ({"trajectory": "[]"}, "field 'trajectory'"),
        ({"trajectory": None}, "field 'trajectory'"),
        ({"initial_state": "{}"}, "step 1: .* failed"),
        ({"initial_state": '{"rooms": {}}'}, "'rooms'"),
        ({"tools": '[{"name": "other"}]'}, "is not among its tools"),
        ({"tools": "[]"}, "is not among its tools"),
        ({"forbidden": json.dumps(CALLED)}, "field 'forbidden': its trajectory calls"),
        ({"forbidden": '"a_name"'}, "field 'forbidden': forbidden must be a JSON list"),
    ],
)
def test_a_bad_row_is_named(change, message):
    assert re.search(message, trajectory_problem({**THREE, **change}, ENVIRONMENTS))
    with pytest.raises(ValueError, match=f"row 1 .*{message}"):
        list(stepwise_rows([ROWS[0], {**THREE, **change}], ENVIRONMENTS))


def test_each_step_is_a_row_with_the_history_as_prompt():
    steps = list(stepwise_rows([THREE], ENVIRONMENTS))
    trajectory = json.loads(THREE["trajectory"])
    assert [json.loads(step["reference"]) for step in steps] == trajectory
    assert [step["id"] for step in steps] == [f"{THREE['id']}#{at}" for at in range(1, 5)]
    assert steps[0]["prompt"] == THREE["prompt"]
    for at, step in enumerate(steps):
        history = step["prompt"][len(THREE["prompt"]) :]
        assert [message["role"] for message in history] == ["assistant", "tool"] * at
        for (call,), asked, told in zip(trajectory[:at], history[::2], history[1::2], strict=True):
            function = asked["tool_calls"][0]["function"]
            assert function["name"] == call["name"] == told["name"]
            assert json.loads(function["arguments"]) == call["arguments"]
            assert "error" not in told["content"]
        assert (json.loads(step["tools"]), step["kind"]) == (json.loads(THREE["tools"]), THREE["kind"])
    # What a step needs and the request does not say stands in the history.
    learned = json.loads(steps[2]["prompt"][-1]["content"])
    assert set(map(str, learned.values())) & set(map(str, trajectory[2][0]["arguments"].values()))


def test_steps_are_canonical_rows():
    rows = list(stepwise_rows(ROWS, ENVIRONMENTS))
    assert len(rows) == sum(len(json.loads(row["trajectory"])) for row in ROWS)
    dataset = Dataset.from_list(rows)
    check_rows(dataset, "rows", ["prompt", "reference"])
    reward = ToolCallReward(syntax="hermes")
    for row in dataset:
        calls = json.loads(row["reference"])
        answer = "\n".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in calls) or "Done."
        assert reward.judge(f"<think>so</think>{answer}", row["reference"], row["tools"]).score == 1.0


def test_several_calls_of_a_step_stand_in_one_turn():
    messages = step_messages([ToolCall("f", {"a": 1}), ToolCall("g", {})], ["one", "two"])
    assert [message["role"] for message in messages] == ["assistant", "tool", "tool"]
    assert [call["function"]["arguments"] for call in messages[0]["tool_calls"]] == ['{"a": 1}', "{}"]
    assert [(message["name"], message["content"]) for message in messages[1:]] == [("f", "one"), ("g", "two")]


def test_rows_for_a_single_environment_need_no_name():
    rows = [
        {k: v for k, v in row.items() if k != "environment"} for row in ROWS if row["environment"] == "ticket_desk"
    ]
    assert not any(trajectory_problem(row, {None: ENVIRONMENTS["ticket_desk"]}) for row in rows)
