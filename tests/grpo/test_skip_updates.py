"""Skipping of optimizer steps without a live row: weights and optimizer stay, the schedule goes on."""

from itertools import pairwise

import pytest
import torch
from peft import LoraConfig
from transformers import TrainerCallback

from egpo_trl import EGPOTrainer
from egpo_trl.grpo.lean_trainer import LeanTrainer
from egpo_trl.trainer_checks import check_trainer
from tests.tiny import checksum_reward, config, prompts_only, tiny_model, train

OPTIONS = {
    "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4, "max_steps": 4, "weight_decay": 0.1,
    "egpo_lambda": 0.0,
}  # fmt: skip


class Weights(TrainerCallback):
    """Weights and optimizer steps taken, after each step."""

    def __init__(self):
        self.weights, self.steps = [], []

    def on_step_end(self, args, state, control, model=None, optimizer=None, **kwargs):
        self.weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        self.steps.append(max((int(value["step"]) for value in optimizer.state.values()), default=0))


def reward_with_dead(dead_generations: set[int]):
    calls = iter(range(100))

    def reward(completions, completion_ids, **_):
        dead = next(calls) in dead_generations
        return [0.0 if dead else float(i % 2) for i in range(len(completions))]

    return reward


def run(tmp_path, tokenizer, dead, build=train, **options):
    seen = Weights()
    trainer = build(tmp_path, tokenizer, reward=reward_with_dead(dead), callbacks=[seen], **{**OPTIONS, **options})
    start = torch.cat([p.detach().flatten() for p in tiny_model(tokenizer).parameters()])
    logs = [log for log in trainer.state.log_history if "loss" in log]
    return [start, *seen.weights], seen.steps, logs


def test_steps_without_a_live_row(tmp_path, tiny_tokenizer):
    weights, steps, logs = run(tmp_path, tiny_tokenizer, {0, 2}, skip_dead_updates=True)
    assert [torch.equal(a, b) for a, b in pairwise(weights)] == [True, False, True, False]
    assert steps == [0, 1, 1, 2]
    assert [log["egpo/skipped_updates_ratio"] for log in logs] == [1.0, 0.0, 1.0, 0.0]
    assert [log["grad_norm"] == 0 for log in logs] == [True, False, True, False]
    stock, stock_steps, stock_logs = run(tmp_path, tiny_tokenizer, {0, 2})
    assert [torch.equal(a, b) for a, b in pairwise(stock)] == [False] * 4  # weight decay, momentum
    assert stock_steps == [1, 2, 3, 4]
    assert [log["learning_rate"] for log in logs] == [log["learning_rate"] for log in stock_logs]
    assert "egpo/skipped_updates_ratio" not in stock_logs[0]


def test_the_lean_trainer_counts_live_rows_by_itself(tmp_path, tiny_tokenizer):
    """Not only under a subclass that shapes advantages, since one that does not would skip every step."""

    def build(folder, tokenizer, reward, callbacks, **options):
        trainer = LeanTrainer(
            tiny_model(tokenizer), reward_funcs=reward, args=config(folder, **options), train_dataset=prompts_only(),
            processing_class=tokenizer, callbacks=callbacks,
        )  # fmt: skip
        trainer.train()
        return trainer

    weights, steps, _ = run(tmp_path, tiny_tokenizer, {0, 2}, build, skip_dead_updates=True)
    assert [torch.equal(a, b) for a, b in pairwise(weights)] == [True, False, True, False]
    assert steps == [0, 1, 1, 2]


def test_steps_with_a_live_row_are_the_usual_ones(tmp_path, tiny_tokenizer):
    with_option, _, _ = run(tmp_path, tiny_tokenizer, set(), skip_dead_updates=True, num_iterations=2)
    without, _, _ = run(tmp_path, tiny_tokenizer, set(), num_iterations=2)
    assert torch.equal(with_option[-1], without[-1])


def test_each_iteration_of_a_dead_batch_is_skipped(tmp_path, tiny_tokenizer):
    _, steps, logs = run(tmp_path, tiny_tokenizer, {0}, skip_dead_updates=True, num_iterations=2, logging_steps=2)
    assert steps == [0, 0, 1, 2]
    assert [log["egpo/skipped_updates_ratio"] for log in logs] == [1.0, 0.0]


LORA = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")


@pytest.mark.parametrize(
    "options",
    [{"beta": 0.1, "peft_config": LORA}, {"drop_zero_advantages": "never"}, {"entropy_coef": 0.1}],
)
def test_it_needs_rows_without_any_gradient(tmp_path, tiny_tokenizer, options):
    with pytest.raises(ValueError, match="rows without an advantage still do"):
        train(tmp_path, tiny_tokenizer, skip_dead_updates=True, **options)


def test_deepspeed_is_refused(tmp_path, tiny_tokenizer):
    args = config(tmp_path, skip_dead_updates=True)
    model = tiny_model(tiny_tokenizer)
    trainer = EGPOTrainer(model, checksum_reward, args, prompts_only(), processing_class=tiny_tokenizer)
    trainer.is_deepspeed_enabled = True
    with pytest.raises(ValueError, match=r"DeepSpeed takes its optimizer step within .*fsdp2\.yaml"):
        check_trainer(trainer, None, None)


def test_fp16_needs_clipping(tmp_path):
    with pytest.raises(ValueError, match="max_grad_norm > 0"):
        config(tmp_path, skip_dead_updates=True, fp16=True, max_grad_norm=0.0)
    config(tmp_path, skip_dead_updates=True, max_grad_norm=0.0)
