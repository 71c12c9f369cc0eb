"""The trajectory reward on TRL's own tool loop, with scripted policies: every shape that TRL hands over."""

import json

import pytest
from datasets import Dataset

from egpo_trl import EGPOTrainer, ExecutedTool, ToolCallReward, TrajectoryReward
from egpo_trl.environments import ENVIRONMENTS
from egpo_trl.environments.replay import replay
from tests.rewards.test_trajectory import ROW
from tests.scripted import Recorder, Turn, embedded, scripted_trainer
from tests.tiny import config, tiny_model


@pytest.fixture(params=[False, True], ids=["", "prefilled"])
def dialect(request, tiny_tokenizer):
    return embedded(tiny_tokenizer, prefills=request.param)


class Keeper(Recorder):
    """Keeps what the reward told the completions table."""

    def _log_completion_extra(self, column, values):
        self.told = getattr(self, "told", {}) | {column: list(values)}
        super()._log_completion_extra(column, values)


def scripts_of(dialect):
    """Eight rollouts for the row, with reason and failed step."""
    find = "\n\n" + dialect.call("find_ticket", customer="Ada")
    close = "\n\n" + dialect.call("close_ticket", ticket=12)
    good, last, done = Turn("look it up", find), Turn("now close it", close), Turn("that is all", "\n\nDone.")
    return [
        ([good, last, done], "correct", 0),
        ([Turn("both", find + close.replace("\n\n", "\n")), done], "correct", 0),
        ([good, done], "missing_call", 2),
        ([good, Turn("wrong", "\n\n" + dialect.call("close_ticket", ticket=34)), done], "wrong_value", 2),
        ([good, last, Turn(None, "Done.")], *(("correct", 0) if dialect.prefills else ("no_think_block", 3))),
        ([good, last, last, last, last], "unfinished", 4),
        ([good, last, Turn("and on it goes", ends=False)], "truncated", 3),
        ([good, last._replace(answer=close + " Now."), done], "text_beside_calls", 2),
    ]


def test_reasons_on_trls_tool_loop(tmp_path, dialect):
    scripts = scripts_of(dialect)
    row = {
        **ROW,
        "prompt": [{"role": "user", "content": "Close the ticket of Ada."}],
        "tools": names("find_ticket", "close_ticket"),
    }
    trainer = scripted_trainer(
        tmp_path,
        dialect,
        [turns for turns, *_ in scripts],
        cls=Keeper,
        rows=[row, row],
        reward=TrajectoryReward(),
        environment_factory=dict(ENVIRONMENTS),
        max_completion_length=400,
        max_tool_calling_iterations=3,
    )
    trainer.train()
    assert list(zip(trainer.told["reason"], trainer.told["failed_step"], strict=True)) == [
        (reason, step) for _, reason, step in scripts
    ]
    assert trainer.environments[0].state["tickets"]["12"]["status"] == "closed"
    assert trainer.environments[2].state["tickets"]["12"]["status"] == "open"
    logs = {name: value for entry in trainer.state.log_history for name, value in entry.items()}
    right = sum(reason == "correct" for _, reason, _ in scripts)
    assert logs["rewards/trajectory_reward/mean"] == logs["reason/correct"] == right / 8
    assert logs["egpo/no_cot_ratio"] == 0.0


def names(*tools):
    return json.dumps([{"name": name} for name in tools])


def test_a_call_that_the_row_does_not_offer_is_refused_and_worth_nothing(tmp_path, tiny_tokenizer):
    dialect = embedded(tiny_tokenizer)
    find, close = dialect.call("find_ticket", customer="Ada"), dialect.call("close_ticket", ticket=12)
    script = [Turn("look it up", "\n\n" + find), Turn("close it", "\n\n" + close), Turn("so", "\n\nDone.")]
    row = {**ROW, "prompt": [{"role": "user", "content": "?"}], "trajectory": "[[]]", "tools": names("find_ticket")}
    trainer = scripted_trainer(
        tmp_path, dialect, [script] * 4, cls=Keeper, rows=[row], reward=TrajectoryReward(),
        environment_factory=dict(ENVIRONMENTS), max_completion_length=200,
    )  # fmt: skip
    trainer.train()
    assert trainer.told["reason"] == ["call_instead_of_text"] * 4
    assert "not available" in trainer.messages[0][0][3]["content"]
    assert trainer.environments[0].state == replay(ENVIRONMENTS["ticket_desk"], row).state


def build(tmp_path, tokenizer, rows, **kwargs):
    return EGPOTrainer(
        model=tiny_model(tokenizer),
        args=config(tmp_path),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        **{"reward_funcs": TrajectoryReward(), "environment_factory": dict(ENVIRONMENTS), **kwargs},
    )


def test_bad_set_ups_are_refused_at_construction(tmp_path, tiny_tokenizer):
    tokenizer = embedded(tiny_tokenizer).tokenizer
    row = {**ROW, "prompt": [{"role": "user", "content": "?"}]}
    with pytest.raises(ValueError, match="Hand the trainer an `environment_factory`"):
        build(tmp_path, tokenizer, [row], environment_factory=None)
    with pytest.raises(ValueError, match="lacks the column 'trajectory'"):
        build(tmp_path, tokenizer, [{k: v for k, v in row.items() if k != "trajectory"}])
    with pytest.raises(ValueError, match=r"train_dataset: 1 of 1 rows .* 1 invalid_trajectory"):
        build(tmp_path, tokenizer, [{**row, "initial_state": "{}"}])


def test_the_limits_of_the_run_reach_the_reward(tmp_path, tiny_tokenizer):
    tokenizer = embedded(tiny_tokenizer).tokenizer
    row = {**ROW, "prompt": [{"role": "user", "content": "?"}]}
    trainer = EGPOTrainer(
        model=tiny_model(tokenizer),
        reward_funcs=[TrajectoryReward(), ToolCallReward()],
        args=config(tmp_path, tool_timeout=3.0, max_tool_result_characters=11),
        train_dataset=Dataset.from_list([{**row, "reference": "[]"}]),
        processing_class=tokenizer,
        environment_factory=dict(ENVIRONMENTS),
        tools=[ExecutedTool(lambda: "", {"name": "look_up"})],
    )
    assert tuple(trainer.reward_funcs[0].limits) == (3.0, 11)
    assert trainer.reward_funcs[0].shared_tools == ("look_up",)
    assert trainer.reward_funcs[0].calls.syntax == "hermes"
