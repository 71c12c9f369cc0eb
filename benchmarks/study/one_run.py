"""Trains and measures one run in a process of its own, and returns its row and its curves."""

import logging
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import set_seed
from warm_start import draw, fit, make_batch

from egpo_trl import EGPOConfig
from egpo_trl.environments import ENVIRONMENTS
from egpo_trl.rewards.tool_call import ToolCallReward
from egpo_trl.rewards.trajectory import TrajectoryReward
from egpo_trl.utils.quiet import quiet_libraries

from .arms import TRAINERS
from .design import SUPERVISED
from .evaluation import measure
from .order import Run
from .tasks import TASKS, Task
from .warm_starts import folder_of, load, weights_hash

CURVES = {"reward": "reward", "cot_entropy": "egpo/cot_entropy", "cot_length": "egpo/cot_length"}
GENERATIONS = 8
SFT_BATCH = 32


def _configuration(task: Task, run: Run, learning_rate: float, output: str) -> EGPOConfig:
    return EGPOConfig(
        output, num_generations=GENERATIONS, temperature=1.0, max_completion_length=task.max_completion_length,
        max_tool_calling_iterations=task.tool_rounds, per_device_train_batch_size=task.prompts * GENERATIONS,
        gradient_accumulation_steps=1, max_steps=task.steps, learning_rate=learning_rate,
        lr_scheduler_type="constant_with_warmup", warmup_steps=5, beta=0.0, seed=run.seed, use_cpu=True, bf16=False,
        gradient_checkpointing=False, logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True,
        **TRAINERS[run.arm][1](run.value),
    )  # fmt: skip


def _train(
    task: Task, run: Run, learning_rate: float, model: Any, tokenizer: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train by rewards; metrics of the training and its curves."""
    rows = task.rows(task.training_sources(run.seed), "train")
    reward = ToolCallReward()
    with tempfile.TemporaryDirectory() as output:
        trainer = TRAINERS[run.arm][0](
            model=model,
            reward_funcs=reward if task.tool_rounds is None else TrajectoryReward(ENVIRONMENTS, reward),
            args=_configuration(task, run, learning_rate, output),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            environment_factory=None if task.tool_rounds is None else dict(ENVIRONMENTS),
        )
        begin = time.process_time()
        trainer.train()
        seconds = time.process_time() - begin
    logs = [log for log in trainer.state.log_history if "reward" in log]
    curves = {name: [log.get(key) for log in logs] for name, key in CURVES.items()}
    bonus, size, clipped, live = trainer.bonus_sums.tolist()
    metrics = {
        "steps": trainer.state.global_step,
        "train_seconds": round(seconds, 2),
        "auc_reward": round(sum(curves["reward"]) / len(logs), 5),
        "cot_length": round(_last_quarter(curves["cot_length"]), 3),
        "cot_entropy": round(_last_quarter(curves["cot_entropy"]), 5),
        "bonus_over_advantage": round(bonus / size, 5) if size else 0.0,
        "clipped": round(clipped / live, 5) if live else 0.0,
    }
    return metrics, curves


def _last_quarter(curve: list[float | None]) -> float:
    values = [value for value in curve[-(len(curve) // 4 or 1) :] if value is not None]
    return sum(values) / len(values) if values else 0.0


def _imitate(task: Task, run: Run, seconds: float, model: Any, tokenizer: Any) -> dict[str, Any]:
    """Train on the right answers of the same rows, for the given CPU time."""
    begin = time.process_time()
    rng = random.Random(run.seed)
    examples = task.encode_right(tokenizer, rng, task.training_sources(run.seed))

    def batches() -> Iterator[tuple[dict[str, torch.Tensor], float]]:
        step = 0
        while time.process_time() - begin < seconds:
            step += 1
            batch = make_batch(draw(rng, examples, SFT_BATCH, 4), tokenizer.pad_token_id)
            yield batch, run.value * min(1.0, step / 5)

    steps = sum(1 for _ in fit(model, batches()))
    return {"steps": steps, "train_seconds": round(time.process_time() - begin, 2)}


def train_and_measure(
    run: Run, learning_rate: float, sft_seconds: float, work: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    The metrics of a run and its curves; `sft_seconds` is the training time of the `grpo` run of the pair.
    """
    logging.getLogger("transformers").setLevel(logging.ERROR)
    quiet_libraries()
    torch.set_num_threads(1)
    task = TASKS[run.task]
    folder = folder_of(task, run.warm_start, work)
    model, tokenizer = load(folder)
    set_seed(run.seed)
    curves: dict[str, Any] = {}
    if run.arm == SUPERVISED:
        metrics = _imitate(task, run, sft_seconds, model, tokenizer)
    else:
        metrics, curves = _train(task, run, learning_rate, model, tokenizer)
    begin = time.process_time()
    held_out = task.held_out_rows(run.stage == "tuning")
    measured = measure(task, model, tokenizer, held_out)
    metrics = {**measured, **metrics, "evaluation_seconds": round(time.process_time() - begin, 2)}
    return {**metrics, "weights": weights_hash(folder)}, curves
