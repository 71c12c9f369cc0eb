"""Dynamic sampling: which groups are replaced, by what, at what cost; resumption, iterations, and what is refused."""

import collections
from collections import deque

import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from egpo_trl import EGPOTrainer
from egpo_trl.grpo.dynamic_sampling import (
    SamplingRounds,
    empty_logs,
    prompts_of_round,
    put_log_rows,
    put_rows,
    replace_dead_groups,
    sampling_cost,
)
from egpo_trl.grpo.live_rows import loss_mask
from tests.tiny import STOCK_UPDATES, config, prompts_only, tiny_model, train, weights

PAD = 7


@given(st.integers(1, 50), st.integers(0, 200), st.integers(2, 16), st.integers(1, 16))
def test_prompts_of_a_round(wanted, available, group_size, processes):
    count = prompts_of_round(wanted, available, group_size, processes)
    assert count * group_size % processes == 0  # equally many rollouts for each process
    assert 0 <= count <= available
    assert count < wanted + processes
    if available >= wanted + processes:
        assert count >= wanted


def batch_of(groups: list[tuple[float, int, int]], group_size: int = 2) -> dict:
    """Groups of (advantage size, prompt length, completion length), padded as TRL pads them."""
    rows = [(sign * a, p, c, i) for i, (a, p, c) in enumerate(groups) for sign in ((1, -1) * group_size)[:group_size]]
    widths = max(p for _, p, _, _ in rows), max(c for _, _, c, _ in rows)
    prompt_mask = torch.tensor([[0] * (widths[0] - p) + [1] * p for _, p, _, _ in rows])
    completion_mask = torch.tensor([[1] * c + [0] * (widths[1] - c) for _, _, c, _ in rows])
    name = torch.tensor([[100 * c + p] for _, p, c, _ in rows])
    return {
        "prompt_ids": torch.where(prompt_mask == 1, name, PAD), "prompt_mask": prompt_mask,
        "completion_ids": torch.where(completion_mask == 1, name, PAD), "completion_mask": completion_mask,
        "advantages": torch.tensor([a for a, *_ in rows]), "num_items_in_batch": completion_mask.sum(),
        "old_per_token_logps": -1.0 * completion_mask, "names": [f"{p}.{c}" for _, p, c, _ in rows],
        "importance_sampling_ratio": torch.full((len(rows), 1), 0.5),
    }  # fmt: skip


def test_rows_of_other_widths_take_a_place():
    batch = batch_of([(1.0, 2, 3), (0.0, 3, 1)])
    tool_mask = torch.tensor([[1, 0, 1]] * 4)
    wide = {**batch_of([(2.0, 5, 4)]), "tool_mask": torch.tensor([[1, 0, 1, 0]] * 2)}
    rows = {2 + row: {name: wide[name][row] for name in wide if name != "num_items_in_batch"} for row in (0, 1)}
    before = {name: value.clone() for name, value in batch.items() if isinstance(value, torch.Tensor)}
    result = put_rows({**batch, "tool_mask": tool_mask}, rows, PAD)
    assert all(torch.equal(batch[name], before[name]) for name in before)
    assert result["prompt_ids"].tolist() == [[PAD] * 3 + [302] * 2] * 2 + [[405] * 5] * 2
    assert result["prompt_mask"].tolist() == [[0, 0, 0, 1, 1]] * 2 + [[1] * 5] * 2
    assert result["completion_ids"].tolist() == [[302] * 3 + [PAD]] * 2 + [[405] * 4] * 2
    assert result["tool_mask"].tolist() == [[1, 0, 1, 1]] * 2 + [[1, 0, 1, 0]] * 2
    assert result["old_per_token_logps"].tolist() == [[-1.0] * 3 + [0.0]] * 2 + [[-1.0] * 4] * 2
    assert result["importance_sampling_ratio"].shape == (4, 1)
    assert result["advantages"].tolist() == [1.0, -1.0, 2.0, -2.0]
    assert result["names"] == ["2.3", "2.3", "5.4", "5.4"]
    assert result["num_items_in_batch"] == batch["num_items_in_batch"]
    narrow = put_rows(result, {0: {name: value[0] for name, value in batch.items() if name in rows[2]} | {"tool_mask": tool_mask[0]}}, PAD)  # fmt: skip
    assert all(torch.equal(narrow[name], result[name]) for name in before if name != "num_items_in_batch")
    assert put_rows(batch, {}, PAD) is batch


def replace(batch: dict, rounds: list[dict], max_rounds: int, order=range(100)):
    """Replace with prepared rounds; the row numbers that were asked for, too."""
    asked: list[list[int]] = []

    def roll_out(numbers):
        asked.append(list(numbers))
        return rounds[len(asked) - 1]

    result, found = replace_dead_groups(batch, roll_out, list(order), 2, max_rounds, PAD, Accelerator(cpu=True))
    return result, found, asked


def test_two_rounds_by_hand():
    batch = batch_of([(0.0, 1, 1), (1.0, 2, 2), (0.0, 1, 3), (0.0, 4, 1)])
    rounds = [batch_of([(0.0, 9, 9), (3.0, 1, 6), (0.0, 9, 9)]), batch_of([(4.0, 5, 1), (5.0, 1, 1)])]
    result, found, asked = replace(batch, rounds, max_rounds=3)
    assert asked == [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4]]
    assert found == SamplingRounds([6, 4], 0.0)
    assert result["names"] == ["1.6", "1.6", "2.2", "2.2", "5.1", "5.1", "1.1", "1.1"]
    assert result["advantages"].tolist() == [3.0, -3.0, 1.0, -1.0, 4.0, -4.0, 5.0, -5.0]
    assert result["num_items_in_batch"] == loss_mask(result).sum() == 2 * (6 + 2 + 1 + 1)
    assert batch["advantages"][0] == 0.0
    assert sampling_cost(found, 8, [2.0, 8.0, 1.0], 1.5) == {
        "sampling_rounds": 2.0, "extra_rollouts_ratio": 10 / 8, "extra_tokens_ratio": (6 * 8 + 4) / 16,
        "extra_sampling_time": 1.5, "dead_groups_ratio": 0.0,
    }  # fmt: skip


def test_it_is_bounded():
    batch = batch_of([(0.0, 1, 1), (1.0, 2, 2), (0.0, 1, 3)])
    dead = [batch_of([(0.0, 9, 9), (0.0, 9, 9)])] * 3
    result, found, asked = replace(batch, dead, max_rounds=2)
    assert (len(asked), found) == (2, SamplingRounds([4, 4], 2 / 3))
    assert result["names"] == batch["names"]
    assert torch.equal(result["prompt_ids"], batch["prompt_ids"])
    _, found, asked = replace(batch, dead, max_rounds=9, order=[5, 3, 8, 2])
    assert asked == [[5, 5, 3, 3], [8, 8, 2, 2]]  # then every row has been sampled
    whole = batch_of([(1.0, 2, 2)])
    result, found, asked = replace(whole, [], max_rounds=2)
    assert (result, found, asked) == (whole, SamplingRounds([], 0.0), [])
    without_tokens = {**whole, "completion_mask": torch.zeros(2, 2, dtype=torch.long)}  # masked truncated completions
    result, _, asked = replace(without_tokens, [batch_of([(6.0, 1, 1)])], max_rounds=1)
    assert (result["names"], asked) == (["1.1"] * 2, [[0, 0]])


def test_more_live_groups_than_places():
    """Rounding up to the number of processes can find one too many."""
    batch = batch_of([(0.0, 1, 1), (1.0, 2, 2)])
    result, _, _ = replace(batch, [batch_of([(3.0, 1, 6), (4.0, 1, 7)])], max_rounds=1)
    assert result["names"] == ["1.6", "1.6", "2.2", "2.2"]


# The trainer


def rare_reward(prompts, completions, **_) -> list[float]:
    """All wrong for two prompts of three."""
    lives = [sum(map(ord, prompt[-1]["content"])) % 3 == 0 for prompt in prompts]
    return [float(live and index % 2) for index, live in enumerate(lives)]


class Recorder(EGPOTrainer):
    """Keeps the generation batches and how often each prompt was sampled for them."""

    def __init__(self, *args, **kwargs):
        self.batches, self.prompts = [], []
        super().__init__(*args, **kwargs)

    def _generate_and_score_completions(self, inputs):
        self.prompts.append(collections.Counter())
        output = super()._generate_and_score_completions(inputs)
        self.batches.append({name: value.clone() for name, value in output.items()})
        return output

    def _tokenize_prompts(self, prompts):
        self.prompts[-1].update(prompt[-1]["content"] for prompt in prompts)
        return super()._tokenize_prompts(prompts)


OPTIONS = {"reward": rare_reward, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 8, "max_steps": 3}


def logs_of(trainer) -> list[dict]:
    return [log for log in trainer.state.log_history if "loss" in log]


@pytest.mark.parametrize("iterations", [1, 2])
def test_the_batch_is_filled_with_groups_that_have_a_gradient(tmp_path, tiny_tokenizer, iterations):
    rows = prompts_only(60)
    options = {**OPTIONS, "dataset": rows, "num_iterations": iterations}
    stock = train(tmp_path, tiny_tokenizer, Recorder, **options)
    ours = train(tmp_path, tiny_tokenizer, Recorder, dynamic_sampling_rounds=20, **options)
    shares = [(batch["advantages"] != 0).float().mean().item() for batch in stock.batches]
    assert min(shares) < 0.6
    for batch in ours.batches:
        assert batch["advantages"].view(-1, 4).any(dim=1).all()
        assert batch["num_items_in_batch"] == batch["completion_mask"].sum()
        if iterations > 1:
            assert not batch["old_per_token_logps"][batch["advantages"] != 0].isnan().any()
    for prompts in ours.prompts:  # 4 rollouts each; one of the batch may be drawn again
        assert set(prompts.values()) <= {4, 8}
    for log in logs_of(ours):
        assert log["update/dropped_rows_ratio"] < 0.5
        assert log["loss"] != 0
    first = logs_of(ours)[0]
    assert first["update/dead_groups_ratio"] == 0.0
    assert first["update/sampling_rounds"] >= 2
    extra = sum(ours.prompts[0].values()) - 16
    assert first["update/extra_rollouts_ratio"] == extra / 16
    assert first["update/extra_tokens_ratio"] > 0
    # TRL's metrics stay those of the prompts as they come
    for name in ("reward", "frac_reward_zero_std", "completions/mean_length"):
        assert first[name] == logs_of(stock)[0][name]
    assert first["num_tokens"] > logs_of(stock)[0]["num_tokens"]


def test_the_completions_table_shows_what_is_trained_on(tmp_path, tiny_tokenizer):
    trainer = train(
        tmp_path, tiny_tokenizer, Recorder, dynamic_sampling_rounds=20, dataset=prompts_only(60),
        log_completions=True, **{**OPTIONS, "max_steps": 1},
    )  # fmt: skip
    (table,) = (tmp_path / "completions").glob("*.parquet")
    shown = Dataset.from_parquet(str(table))
    (batch,) = trainer.batches
    assert len(shown) == 16
    assert shown["advantage"] == pytest.approx(batch["advantages"].tolist())
    tokenizer, masks = trainer._tokenizer, batch["completion_mask"].bool()
    texts = [
        tokenizer.decode(ids[mask], skip_special_tokens=True)
        for ids, mask in zip(batch["completion_ids"], masks, strict=True)
    ]
    assert [completion[-1]["content"] for completion in shown["completion"]] == texts
    for prompt, ids in zip(shown["prompt"], batch["prompt_ids"], strict=True):
        assert prompt[-1]["content"] in tokenizer.decode(ids)
    assert shown["rare_reward"] == [float(advantage > 0) for advantage in shown["advantage"]]


def test_rows_of_the_completions_table_move():
    logs = {"prompt": deque(["old", "a", "b"], maxlen=4), "extra": {"reason": deque("xyz")}, "images": deque()}
    fresh = empty_logs(logs)
    assert not any(fresh.values())
    fresh["prompt"].extend("cd")
    fresh["extra"]["reason"].extend("uv")
    put_log_rows(logs, fresh, {1: 0}, size=2)
    assert list(logs["prompt"]) == ["old", "d", "b"]
    assert list(logs["extra"]["reason"]) == ["x", "v", "z"]


def test_the_update_is_that_of_the_new_batch(tmp_path, tiny_tokenizer):
    """Stock TRL, handed the batch that dynamic sampling made, ends with the same weights."""
    options = {**OPTIONS, "max_steps": 1, "optim": "sgd", "egpo_lambda": 0.0, "dataset": prompts_only(60)}
    start = tiny_model(tiny_tokenizer)
    ours = train(tmp_path, tiny_tokenizer, Recorder, dynamic_sampling_rounds=20, **options)

    class Replay(EGPOTrainer):
        def _generate_and_score_completions(self, inputs):
            return ours.batches[0]

    stock = train(tmp_path, tiny_tokenizer, Replay, **options, **STOCK_UPDATES)
    a, b = weights(ours), weights(stock)
    moved = torch.cat([(b[name] - value).flatten() for name, value in start.state_dict().items()]).norm()
    apart = torch.cat([(b[name] - value).flatten() for name, value in a.items()]).norm()
    assert moved > 0
    assert apart < 1e-4 * moved  # float32


def test_two_runs_and_a_resumed_one_end_with_the_same_bits(tmp_path, tiny_tokenizer):
    options = {
        **OPTIONS, "num_iterations": 2, "max_steps": 4, "save_strategy": "steps", "save_steps": 2,
        "dynamic_sampling_rounds": 2, "dataset": prompts_only(60),
    }  # fmt: skip
    whole, again = (train(tmp_path / name, tiny_tokenizer, **options) for name in ("a", "b"))
    resumed = train(tmp_path / "a", tiny_tokenizer, resume=str(tmp_path / "a" / "checkpoint-2"), **options)
    assert sum(log["update/sampling_rounds"] for log in logs_of(whole)[2:] if "update/sampling_rounds" in log) > 0
    for other in (again, resumed):
        first, second = weights(whole), weights(other)
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_evaluation_is_left_alone(tmp_path, tiny_tokenizer):
    trainer = train(
        tmp_path, tiny_tokenizer, Recorder, dynamic_sampling_rounds=2, eval_dataset=prompts_only(4), max_steps=1,
        eval_strategy="steps", eval_steps=1, **{k: v for k, v in OPTIONS.items() if k != "max_steps"},
    )  # fmt: skip
    (log,) = [log for log in trainer.state.log_history if "eval_loss" in log]
    assert not [name for name in log if "sampling" in name or "extra" in name]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dynamic_sampling_rounds": -1}, "whole number of at least 0"),
        ({"dynamic_sampling_rounds": 1.5}, "whole number of at least 0"),
        ({"dynamic_sampling_rounds": 1, "scale_rewards": "batch"}, "must not depend on the others"),
        ({"dynamic_sampling_rounds": 1, "multi_objective_aggregation": "normalize_then_sum"}, "must not depend on"),
    ],
)
def test_one_clear_error(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        config(tmp_path, **fields)


def test_a_stream_is_refused(tmp_path, tiny_tokenizer):
    stream = prompts_only(60).to_iterable_dataset()
    with pytest.raises(ValueError, match="which a stream does not offer"):
        train(tmp_path, tiny_tokenizer, dataset=stream, dynamic_sampling_rounds=1)
