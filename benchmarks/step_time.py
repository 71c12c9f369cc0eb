"""Time and peak memory of EGPO's loss and backward pass beside GRPO's, alternating in one run, as ratios.

    python benchmarks/step_time.py

Generation and rewards are the same code in both trainers, so a whole training step has a ratio closer to 1 than this.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from datasets import Dataset
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM
from trl import GRPOConfig, GRPOTrainer

from egpo_trl import EGPOConfig, EGPOTrainer
from egpo_trl.demo.policy import demo_policy_path

VARIANTS = {
    "GRPO": (GRPOTrainer, GRPOConfig, {}),
    "EGPO, lambda 0": (EGPOTrainer, EGPOConfig, {"egpo_lambda": 0.0}),
    "EGPO, token": (EGPOTrainer, EGPOConfig, {"entropy_level": "token"}),
    "EGPO, sequence": (EGPOTrainer, EGPOConfig, {"entropy_level": "sequence"}),
}


def build(name: str, hidden_size: int):
    cls, config, fields = VARIANTS[name]
    tokenizer = AutoTokenizer.from_pretrained(demo_policy_path())
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=8192, hidden_size=hidden_size, intermediate_size=3 * hidden_size, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=4, head_dim=hidden_size // 4, tie_word_embeddings=True,
        )
    )  # fmt: skip
    args = config(
        tempfile.mkdtemp(), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none",
        per_device_train_batch_size=8, num_generations=8, **fields,
    )  # fmt: skip
    rows = Dataset.from_list([{"prompt": [{"role": "user", "content": "hi"}]}] * 8)
    trainer = cls(model, lambda completions, **_: [0.0] * len(completions), args, rows, processing_class=tokenizer)
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return trainer, tokenizer


def make_batch(tokenizer, rollouts: int, prompt_length: int, length: int) -> dict[str, torch.Tensor]:
    """Rollouts with a chain of thought over two thirds of the completion."""
    torch.manual_seed(1)
    completion_ids = torch.randint(300, 800, (rollouts, length))
    completion_ids[:, 0] = tokenizer.convert_tokens_to_ids("<think>")
    completion_ids[:, 2 * length // 3] = tokenizer.convert_tokens_to_ids("</think>")
    mask = torch.ones_like(completion_ids)
    return {
        "prompt_ids": torch.randint(300, 800, (rollouts, prompt_length)),
        "prompt_mask": torch.ones(rollouts, prompt_length, dtype=torch.long),
        "completion_ids": completion_ids,
        "completion_mask": mask,
        "advantages": torch.randn(rollouts),
        "num_items_in_batch": mask.sum(),
    }


def step(trainer, batch) -> float:
    trainer.model.zero_grad()
    start = time.perf_counter()
    trainer._compute_loss(trainer.model, batch).backward()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--prompt_length", type=int, default=128)
    parser.add_argument("--completion_length", type=int, default=256)
    parser.add_argument("--hidden_size", type=int, default=256)
    parser.add_argument("--only", help="(internal) run one variant and print its peak memory")
    options = parser.parse_args()
    shape = (options.rollouts, options.prompt_length, options.completion_length)
    if options.only:
        trainer, tokenizer = build(options.only, options.hidden_size)
        for _ in range(3):
            step(trainer, make_batch(tokenizer, *shape))
        print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
        return

    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    trainers = {name: build(name, options.hidden_size) for name in VARIANTS}
    batch = make_batch(trainers["GRPO"][1], *shape)
    for repeat in range(options.repeats + 2):
        names = list(VARIANTS) if repeat % 2 else list(VARIANTS)[::-1]  # drift hits every variant alike
        for name in names:
            seconds = step(trainers[name][0], batch)
            if repeat >= 2:
                times[name].append(seconds)
    memory = {
        name: [
            json.loads(
                subprocess.run(
                    [sys.executable, *sys.argv, "--only", name], check=True, capture_output=True, text=True
                ).stdout.splitlines()[-1]
            )
            for _ in range(3)
        ]
        for name in VARIANTS
    }
    print(f"{options.rollouts} rollouts, {options.prompt_length} + {options.completion_length} tokens, CPU, "
          f"{torch.get_num_threads()} threads, {options.repeats} alternating repeats")  # fmt: skip
    print(f"{'':16}{'median s':>10}{'time ratio':>12}{'peak MiB':>10}{'memory ratio':>14}")
    for name in VARIANTS:
        ratio = statistics.median(a / b for a, b in zip(times[name], times["GRPO"], strict=True))
        peak, base = (statistics.median(memory[key]) for key in (name, "GRPO"))
        print(f"{name:16}{statistics.median(times[name]):10.4f}{ratio:12.3f}{peak:10.0f}{peak / base:14.3f}")


if __name__ == "__main__":
    main()
