"""What a policy wrote counts, on every path: rollouts in training, rollouts in evaluation, and single steps agree."""

import json
from typing import Any, ClassVar

import pytest

from egpo_trl import ToolCallReward, TrajectoryReward
from egpo_trl.environments.trajectories import stepwise_rows, trajectory_problem
from egpo_trl.evaluation.rollouts import judge_rollouts
from tests.scripted import Recorder, ScriptedGeneration, Turn, chatml, embedded, scripted_trainer
from tests.tiny import tiny_model

# kind of the argument -> the value of the reference, and what a policy may write for it, with the verdict
VALUES: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "integer": (12, [("12", "correct"), ('"12"', "wrong_type"), ("12.0", "wrong_value"), ('"12.0"', "wrong_type")]),
    "number": (1.5, [("1.5", "correct"), ('"1.5"', "wrong_type"), ("true", "wrong_type"), ("[1.5]", "wrong_type")]),
    "boolean": (True, [("true", "correct"), ('"true"', "wrong_type"), ("1", "wrong_type"), ('"True"', "wrong_type")]),
    "array": (
        [1, 2],
        [("[1, 2]", "correct"), ('"[1, 2]"', "wrong_type"), ('{"0": 1}', "wrong_type"), ("null", "wrong_type")],
    ),
    "object": (
        {"k": 1},
        [('{"k": 1}', "correct"), ('"{\\"k\\": 1}"', "wrong_type"), ("[1]", "wrong_type"), ('"k"', "wrong_type")],
    ),
    "string": ("12", [('"12"', "correct"), ("12", "wrong_type"), ("12.0", "wrong_type"), ('["12"]', "wrong_type")]),
}


class Forgiving:
    """An environment whose tools take anything, make the same of `12` and `"12"`, and tell the same about both."""

    tool_schemas: ClassVar[dict[str, Any]] = {
        f"put_{kind}": {"name": f"put_{kind}", "description": "Put.", "parameters": {
            "type": "object", "properties": {"value": {"type": kind, "description": "It."}}, "required": ["value"]}}
        for kind in VALUES
    }  # fmt: skip

    def reset(self, **_: Any) -> None:
        self.calls = 0

    @property
    def state(self) -> int:
        return self.calls


def _put(self: Forgiving, value: Any) -> str:
    self.calls = 1
    return "done"


for _kind in VALUES:
    _method = type(_put)(_put.__code__, _put.__globals__, f"put_{_kind}")
    setattr(Forgiving, f"put_{_kind}", _method)

ENVIRONMENTS = {"forgiving": Forgiving}


def row_of(kind: str) -> dict[str, Any]:
    steps = [[{"name": f"put_{kind}", "arguments": {"value": VALUES[kind][0]}}], []]
    return {
        "prompt": [{"role": "user", "content": f"Put the {kind}."}],
        "environment": "forgiving",
        "tools": json.dumps([{"name": f"put_{kind}"}]),
        "trajectory": json.dumps(steps),
    }


def scripts_of(kind: str) -> list[tuple[list[Turn], str, str]]:
    found = []
    for written, reason in VALUES[kind][1]:
        call = f'\n\n<tool_call>\n{{"name": "put_{kind}", "arguments": {{"value": {written}}}}}\n</tool_call>'
        found.append(([Turn("put it", call), Turn("that is all", "\n\nDone.")], reason, written))
    return found


def test_training_evaluation_and_single_steps_agree(tmp_path, tiny_tokenizer):
    dialect = embedded(tiny_tokenizer)
    rows = [row_of(kind) for kind in VALUES]
    scripts = [one for kind in VALUES for one in scripts_of(kind)]
    trainer = scripted_trainer(
        tmp_path,
        dialect,
        [turns for turns, *_ in scripts],
        rows=rows,
        reward=TrajectoryReward(ENVIRONMENTS),
        environment_factory=dict(ENVIRONMENTS),
        max_completion_length=400,
        max_tool_calling_iterations=3,
    )
    told: dict[str, list[Any]] = {}
    trainer._log_completion_extra = lambda column, values: told.update({column: list(values)})
    trainer.train()
    expected = [reason for _, reason, _ in scripts]
    assert told["reason"] == expected
    for messages, (_, _, written) in zip(trainer.messages[0], scripts, strict=True):  # the completions table too
        (call,) = messages[0]["tool_calls"]
        value = call["function"]["arguments"]["value"]
        assert (value, type(value)) == (json.loads(written), type(json.loads(written)))
    logs = {name: value for entry in trainer.state.log_history for name, value in entry.items()}
    assert logs["tools/wrong_types"] == pytest.approx(1 - expected.count("correct") / len(expected))

    model = tiny_model(dialect.tokenizer)
    reward = TrajectoryReward(ENVIRONMENTS)
    judged = []
    for row, kind in zip(rows, VALUES, strict=True):
        for turns, *_ in scripts_of(kind):  # one at a time: a batch is sorted by length
            model.generate = ScriptedGeneration(dialect, [turns])
            judged += judge_rollouts(
                model, dialect.tokenizer, [row], reward, ENVIRONMENTS, max_completion_length=400, max_tool_rounds=3
            )
    assert [one.reason for one in judged] == expected

    single = ToolCallReward().bind(dialect.tokenizer)
    for row, kind in zip(stepwise_rows(rows, ENVIRONMENTS), [kind for kind in VALUES for _ in range(2)], strict=True):
        if json.loads(row["reference"]):
            for turns, reason, _ in scripts_of(kind):
                assert single.judge(dialect.text(turns[0]), row["reference"], row["tools"]).reason == reason


def test_values_without_quotes_are_executed_with_the_type_of_their_schema(tmp_path, tiny_tokenizer):
    """In Qwen3.5's XML a text says nothing about its type: there the schema does."""
    dialect = chatml(tiny_tokenizer, "qwen3_5_think")
    written = {
        "integer": "12",
        "number": "1.5",
        "boolean": "true",
        "array": "[1, 2]",
        "object": '{"k": 1}',
        "string": "12",
    }
    wrong = {"integer": "12.0", "number": "a", "boolean": "1", "array": "1", "object": "[1]"}
    scripts, expected = [], []
    for kind in VALUES:
        for text in (written[kind], wrong.get(kind, written[kind])) * 2:
            call = dialect.call(f"put_{kind}", value=text)
            scripts.append([Turn("put it", f"\n\n{call}"), Turn("that is all", "\n\nDone.")])
            expected.append(text == written[kind])
    trainer = scripted_trainer(
        tmp_path, dialect, scripts, rows=[row_of(kind) for kind in VALUES], reward=TrajectoryReward(ENVIRONMENTS),
        environment_factory=dict(ENVIRONMENTS), max_completion_length=500, max_tool_calling_iterations=3,
    )  # fmt: skip
    told: dict[str, list[Any]] = {}
    trainer._log_completion_extra = lambda column, values: told.update({column: list(values)})
    trainer.train()
    assert [reason == "correct" for reason in told["reason"]] == expected, told


def test_a_reference_of_another_type_than_its_schema_is_named():
    row = {
        **row_of("integer"),
        "trajectory": json.dumps([[{"name": "put_integer", "arguments": {"value": "12"}}], []]),
    }
    problem = trajectory_problem(row, ENVIRONMENTS)
    assert "argument 'value' must be of type integer, got string" in problem


@pytest.mark.parametrize(("cap", "right"), [(None, 4), (0, 1), (1, 2), (2, 3)])
def test_calls_beyond_the_reference_are_capped_and_counted(tmp_path, tiny_tokenizer, cap, right):
    """BFCL lets a policy try as often as it likes; a run may not."""
    dialect = embedded(tiny_tokenizer)
    call = dialect.call("put_integer", value=12)
    scripts = [[*[Turn("put it", f"\n\n{call}")] * count, Turn("that is all", "\n\nDone.")] for count in (1, 2, 3, 4)]
    trainer = scripted_trainer(
        tmp_path, dialect, scripts, cls=Recorder, rows=[row_of("integer")], environment_factory=dict(ENVIRONMENTS),
        reward=TrajectoryReward(ENVIRONMENTS, max_extra_calls=cap), max_completion_length=800, max_tool_calling_iterations=5,
    )  # fmt: skip
    told: dict[str, list[Any]] = {}
    trainer._log_completion_extra = lambda column, values: told.update({column: list(values)})
    trainer.train()
    assert told["reason"] == ["correct"] * right + ["too_many_calls"] * (4 - right)
    logs = {name: value for entry in trainer.state.log_history for name, value in entry.items()}
    assert logs["calls/surplus"] == pytest.approx(1.5)
    assert logs["rewards/trajectory_reward/mean"] == pytest.approx(right / 4)


def test_a_negative_cap_is_refused():
    with pytest.raises(ValueError, match="max_extra_calls must be at least 0"):
        TrajectoryReward(max_extra_calls=-1)
