"""Run by `test_two_processes.py` under `torchrun`: every row of the second process has the advantage 0."""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from transformers import AutoTokenizer
from trl import GRPOTrainer

from egpo_trl import EGPOTrainer
from egpo_trl.demo.policy import demo_policy_path
from tests.tiny import losses, train, weights

ZERO3 = {
    "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0},
    "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto", "gradient_clipping": "auto",
    "train_batch_size": "auto", "zero_allow_untested_optimizer": True,
}  # fmt: skip


def reward(completions: list[Any], **_: Any) -> list[float]:
    """One group a process: mixed on the first, all wrong on the second."""
    return [float(index % 2 and torch.distributed.get_rank() == 0) for index in range(len(completions))]


def gather_if_zero3(trainer: GRPOTrainer) -> AbstractContextManager:
    if trainer.args.deepspeed is None:
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(list(trainer.model.parameters()))


def whole_weights(trainer: GRPOTrainer) -> dict[str, torch.Tensor]:
    """Weights of the policy, put together from the processes under ZeRO-3."""
    with gather_if_zero3(trainer):
        return weights(trainer)


def main(folder: Path, strategy: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(demo_policy_path())
    options = {
        "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_iterations": 2, "max_steps": 3,
        "optim": "sgd", "learning_rate": 0.1, "reward": reward, "num_generations": 8,
        "deepspeed": ZERO3 if strategy == "zero3" else None,
    }  # fmt: skip
    stock = train(folder, tokenizer, GRPOTrainer, **options)
    ours = train(folder, tokenizer, EGPOTrainer, egpo_lambda=0.0, **options)
    logs = [log for log in ours.state.log_history if "loss" in log]
    assert all(log["update/dropped_rows_ratio"] == 0.5 for log in logs), logs
    assert losses(ours)[0][1] > 0
    for (loss, norm), (expected_loss, expected_norm) in zip(losses(ours), losses(stock), strict=True):
        assert abs(loss - expected_loss) < 1e-6
        assert abs(norm - expected_norm) < 1e-5 * expected_norm
    ours, stock = whole_weights(ours), whole_weights(stock)
    assert ours.keys() == stock.keys()
    for name in stock:
        assert stock[name].numel() > 0
        torch.testing.assert_close(ours[name], stock[name], rtol=1e-4, atol=1e-6)
    print(f"{strategy}: process {torch.distributed.get_rank()} of {torch.distributed.get_world_size()} agrees")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
