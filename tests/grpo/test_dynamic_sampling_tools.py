"""Dynamic sampling of rollouts that call tools: further rounds have environments, tools and masks of their own."""

import json
import logging

import pytest
import torch

from egpo_trl.grpo.live_rows import loss_mask
from tests.grpo.test_executed_tools import DONE, Counter, Greeter, calls_then_done
from tests.scripted import Recorder, Turn, embedded, scripted_trainer
from tests.tiny import STOCK_UPDATES, weights

ROWS = 12


class Batches(Recorder):
    """Keeps every generation batch."""

    def __init__(self, *args, **kwargs):
        self.batches = []
        super().__init__(*args, **kwargs)

    def _generate_and_score_completions(self, inputs):
        self.batches.append(super()._generate_and_score_completions(inputs))
        return self.batches[-1]


def rows_of(names, offered):
    return [
        {
            "prompt": [{"role": "user", "content": f"Question {i}"}],
            "environment": names[i % len(names)],
            "tools": None if offered is None else json.dumps(offered),
            "start": 100 * (i + 1),
        }
        for i in range(ROWS)
    ]


def odd_starts(completions, start, environments, **_):
    """Groups of an even question are dead; in the others, rollouts that called a tool are right."""
    for first, environment in zip(start, environments, strict=True):
        assert environment.state["value"] in (first, first + 1)  # that of the row, reset for it
    right = [environment.state["value"] != first for first, environment in zip(start, environments, strict=True)]
    return [float(first % 200 == 0 and good) for first, good in zip(start, right, strict=True)]


@pytest.fixture
def dialect(tiny_tokenizer):
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return embedded(tiny_tokenizer)


def sampled(folder, dialect, **options):
    calls = calls_then_done(dialect, ("increase", {}))
    scripts = [calls, [DONE], [Turn("longer than the others", "\n\nDone.")], calls]
    trainer = scripted_trainer(
        folder, dialect, scripts * 2, **{
            "cls": Batches, "rows": rows_of(["counter"], [{"name": "increase"}]), "reward": odd_starts,
            "environment_factory": {"counter": Counter, "greeter": Greeter}, "max_completion_length": 400,
            "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "dynamic_sampling_rounds": 20,
            "loss_type": "dapo", "optim": "sgd", **options,
        }
    )  # fmt: skip
    trainer.train()
    return trainer


@pytest.mark.parametrize("iterations", [1, 2])
def test_rollouts_of_further_rounds_keep_their_environment_and_mask(tmp_path, dialect, iterations):
    trainer = sampled(tmp_path, dialect, num_iterations=iterations)
    (batch,) = trainer.batches
    decode = trainer._tokenizer.decode
    assert (batch["advantages"] != 0).all()
    assert batch["num_items_in_batch"] == loss_mask(batch).sum()
    for row in range(8):
        prompt = decode(batch["prompt_ids"][row][batch["prompt_mask"][row].bool()])
        number = int(prompt.split("Question ")[1].split("<")[0])
        assert number % 2 == 1
        filled, mask = batch["completion_mask"][row].bool(), batch["tool_mask"][row]
        given = decode(batch["completion_ids"][row][filled & (mask == 0)])
        own = decode(batch["completion_ids"][row][filled & (mask == 1)])
        called = batch["advantages"][row] > 0
        assert ("increase" in own) == called
        assert (f'{{"value": {100 * (number + 1) + 1}}}' in given) == called
        assert "tool_response" not in own
    if iterations > 1:
        old = batch["old_per_token_logps"]
        assert not old.isnan().any()
        assert (old[batch["completion_mask"].bool()] != 0).all()
    (log,) = [log for log in trainer.state.log_history if "loss" in log]
    assert log["update/sampling_rounds"] >= 1
    assert log["update/dead_groups_ratio"] == 0.0
    assert log["tools/call_frequency"] == 0.5  # TRL's metrics stay those of the first round


def test_the_update_is_that_of_the_new_batch(tmp_path, dialect):
    ours = sampled(tmp_path, dialect, egpo_lambda=0.0)

    class Replay(Batches):
        def _generate_and_score_completions(self, inputs):
            return ours.batches[0]

    stock = sampled(tmp_path, dialect, cls=Replay, dynamic_sampling_rounds=0, egpo_lambda=0.0, **STOCK_UPDATES)
    a, b = weights(ours), weights(stock)
    from tests.tiny import tiny_model

    start = tiny_model(dialect.tokenizer).state_dict()
    moved = torch.cat([(b[name] - start[name]).flatten() for name in start]).norm()
    assert moved > 0
    assert torch.cat([(a[name] - b[name]).flatten() for name in start]).norm() < 1e-4 * moved
