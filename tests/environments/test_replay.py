"""Reference trajectories: reading them, and executing them in a fresh environment."""

import json
from typing import Any

import pytest

from egpo_trl.environments import FileSystem
from egpo_trl.environments.replay import MAX_STEPS, is_error, parse_trajectory, replay
from egpo_trl.rollouts.tool_guard import ToolLimits
from egpo_trl.tool_calls.calls import ToolCall

FIND = {"name": "find_file", "arguments": {"name": "memo"}}
MOVE = {"name": "move_file", "arguments": {"name": "memo", "source": "home", "target": "work"}}
STATE = json.dumps({"folders": {"home": {"memo": "hi"}, "work": {}}})


def test_steps_are_read():
    steps = parse_trajectory(json.dumps([[FIND, FIND], [MOVE], []]))
    assert steps == ((ToolCall(**FIND), ToolCall(**FIND)), (ToolCall(**MOVE),), ())
    assert parse_trajectory([[]]) == ((),)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[", "is not JSON"),
        ("{}", "must be a list of 1 to"),
        ("[]", "must be a list of 1 to"),
        (None, "must be a list of 1 to"),
        ([[]] * (MAX_STEPS + 1), "must be a list of 1 to"),
        ([FIND, []], "step 1: must be a list of calls"),
        ([[FIND], [{"name": 3}], []], "step 2: call 0"),
        ([[FIND]], "the last step, and only that one, must be empty"),
        ([[], [FIND], []], "the last step, and only that one, must be empty"),
        ('[[{"name": "f", "arguments": {"a": NaN}}], []]', "is not JSON"),
    ],
)
def test_anything_else_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        parse_trajectory(value)


def test_a_replay_executes_the_calls():
    row = {"environment": "x", "initial_state": STATE, "trajectory": json.dumps([[FIND], [MOVE], []])}
    assert replay(FileSystem, row) == (
        (('{"folder":"home"}',), ('{"moved":"memo"}',), ()),
        {"folders": {"home": {}, "work": {"memo": "hi"}}},
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"initial_state": "{}"}, "step 1: find_file failed: .*no such file"),
        ({"initial_state": "["}, "initial_state is not JSON"),
        (
            {"trajectory": [[{"name": "format", "arguments": {}}], []]},
            "step 1: the environment does not define the tool 'format'",
        ),
        (
            {"trajectory": [[{"name": "reset", "arguments": {}}], []]},
            "step 1: the environment does not define the tool 'reset'",
        ),
        ({"trajectory": [[FIND], [{"name": "move_file", "arguments": {}}], []]}, "step 2: move_file failed"),
    ],
)
def test_a_reference_that_fails_is_refused(row, message):
    with pytest.raises(ValueError, match=message):
        replay(FileSystem, {"initial_state": STATE, "trajectory": [[FIND], []], **row})


def test_results_are_those_that_a_model_reads():
    class Big:
        state = 0

        def reset(self, **_: Any) -> None: ...

        def show(self, kind: str) -> Any:
            if kind == "raise":
                raise KeyError("x")
            return {"text": "x" * 50, "dict": {"a": [1]}, "none": None}[kind]

    def shown(kind: str) -> str:
        row = {"trajectory": [[{"name": "show", "arguments": {"kind": kind}}], []]}
        return replay(Big, row, ToolLimits(None, 20)).results[0][0]

    assert shown("text").startswith("x" * 20)
    assert len(shown("text")) < 50
    assert shown("dict") == '{"a": [1]}'
    assert shown("none") == "None"
    with pytest.raises(ValueError, match="show failed"):
        shown("raise")


def test_errors_are_told_from_results():
    assert is_error('{"error": "no"}')
    assert not any(map(is_error, ['{"error": 1, "more": 2}', "error", "[]", "", '{"errors": 0}']))
