"""A reward function that fails costs its completions their reward, not the run."""

import asyncio
import logging
import math

import pytest

from egpo_trl import ToolCallReward, guard_reward
from tests.tiny import train


def inverse(completions, log_metric=None, **_):
    return [1 / len(completion) for completion in completions]


def test_a_good_batch_is_left_alone():
    guarded = guard_reward(inverse)
    assert guarded.__name__ == "inverse"
    assert guarded(prompts=["", ""], completions=["ab", "abcd"]) == [0.5, 0.25]


def test_only_what_fails_gets_nothing(caplog):
    metrics = {}
    with caplog.at_level(logging.WARNING, "egpo_trl.rewards.guard"):
        rewards = guard_reward(inverse)(
            prompts=["", "", ""],
            completions=["ab", "", "a"],
            log_metric=lambda name, value: metrics.update({name: value}),
        )
    assert rewards == [0.5, 0.0, 1.0]
    assert metrics == {"reward_errors/inverse": pytest.approx(1 / 3)}
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "result", [None, 1.0, [1.0], [1.0] * 3, ["x", 1.0], [math.nan, 1.0], [math.inf, 1.0], [[1.0], 1.0], {"a": 1}]
)
def test_what_is_no_reward_counts_as_failure(result):
    rewards = guard_reward(lambda completions, **_: result)(prompts=["", ""], completions=["a", "b"])
    assert rewards == ([1.0, 1.0] if result == [1.0] else [0.0, 0.0])


def test_success_counts_too():
    """The metric is a mean over all batches, so a batch without failure logs 0."""
    metrics = []
    guard_reward(inverse)(prompts=[""], completions=["ab"], log_metric=lambda *metric: metrics.append(metric))
    assert metrics == [("reward_errors/inverse", 0.0)]


def test_a_tool_call_reward_stays_one():
    reward = ToolCallReward()
    assert guard_reward(reward) is reward  # so that the trainer binds it to the tokenizer


def test_none_and_columns_pass_through():
    def per_row(prompts, completions, label, scale, log_extra, **_):
        log_extra("label", label)
        if len(completions) > 1:
            raise RuntimeError("one by one, please")
        return [None if label[0] == "skip" else scale]

    seen = []
    rewards = guard_reward(per_row)(
        prompts=["", ""], completions=["a", "b"], label=["skip", "use"], scale=2.0, log_extra=lambda *a: seen.append(a)
    )
    assert rewards == [None, 2.0]
    assert seen == [("label", ["skip", "use"])]  # the batch's column only


def test_async_and_callable_objects():
    async def later(completions, **_):
        await asyncio.sleep(0)
        return [1 / len(completion) for completion in completions]

    guarded = guard_reward(later)
    assert asyncio.iscoroutinefunction(guarded)
    assert asyncio.run(guarded(prompts=["", ""], completions=["", "ab"])) == [0.0, 0.5]

    class Reward:
        def __call__(self, completions, **_):
            return [float(len(completion)) for completion in completions]

    assert guard_reward(Reward())(prompts=[""], completions=["ab"]) == [2.0]
    with pytest.raises(TypeError, match="async def"):
        guard_reward(lambda **kwargs: later(**kwargs))(prompts=[""], completions=["ab"])


def test_a_run_survives(tmp_path, tiny_tokenizer):
    def broken(completions, **_):
        raise KeyError("oops")

    trainer = train(tmp_path, tiny_tokenizer, reward=guard_reward(broken), max_steps=1)
    log = trainer.state.log_history[0]
    assert log["reward"] == 0.0
    assert log["reward_errors/broken"] == 1.0
