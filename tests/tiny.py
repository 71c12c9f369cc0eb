"""A tiny randomly initialised policy and what trainer tests share."""

import json
import zlib
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer
from warm_start import build_model

from egpo_trl import EGPOConfig, EGPOTrainer
from egpo_trl.demo.world import make_rows

BASE = {
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 12,
    "max_steps": 2,
    "learning_rate": 1e-3,
    "logging_steps": 1,
    "report_to": "none",
    "save_strategy": "no",
    "bf16": False,
    "gradient_checkpointing": False,
    "disable_tqdm": True,
    "use_cpu": True,
}

STOCK_UPDATES = dict.fromkeys(("trim_padding", "drop_zero_advantages", "sort_by_length", "share_prefixes"), "never")


def checksum_reward(prompts, completions, completion_ids, **_: Any) -> list[float]:
    """A binary reward that looks random and is a function of the completion."""
    return [float(zlib.crc32(bytes(str(ids), "ascii")) % 2) for ids in completion_ids]


def prompts_only(count: int = 16) -> Dataset:
    """Rows without tools, for what TRL itself can train on."""
    return Dataset.from_list([{"prompt": row["prompt"]} for row in make_rows(count)])


def tool_rows(count: int = 16) -> Dataset:
    return Dataset.from_list(make_rows(count))


def tiny_model(tokenizer) -> torch.nn.Module:
    torch.manual_seed(0)
    model = build_model(tokenizer)
    with torch.no_grad():  # so that token entropies differ (by some percent around 6 nats)
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model


def config(folder: Path, cls: type[GRPOConfig] = EGPOConfig, **overrides: Any) -> GRPOConfig:
    return cls(output_dir=str(folder), **{**BASE, **overrides})


def train(
    folder: Path, tokenizer, cls=EGPOTrainer, model=None, dataset=None, reward=checksum_reward, resume=None, **kw
):
    """Train the tiny policy for two steps; returns the trainer."""
    trainer_kwargs = {
        name: kw.pop(name) for name in ("eval_dataset", "peft_config", "callbacks", "tools") if name in kw
    }
    args = config(folder, EGPOConfig if issubclass(cls, EGPOTrainer) else GRPOConfig, **kw)
    trainer = cls(
        model=tiny_model(tokenizer) if model is None else model,
        reward_funcs=reward,
        args=args,
        train_dataset=prompts_only() if dataset is None else dataset,
        processing_class=tokenizer,
        **trainer_kwargs,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def weights(trainer: GRPOTrainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}


def losses(trainer: GRPOTrainer) -> list[tuple[float, float]]:
    return [(log["loss"], log["grad_norm"]) for log in trainer.state.log_history if "loss" in log]


def dumps(value: Any) -> str:
    return json.dumps(value)
