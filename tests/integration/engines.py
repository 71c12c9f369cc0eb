"""Run by `test_engines.py` under `accelerate launch`: each process trains its share of the embedded policy's batches.

The completions are a function of the prompt, so that one process and several see the same global batch. The rows of a
step are dealt out in order: those in its second half are the second process's. In the mode `sampling`
dynamic sampling replaces groups without variance, in `die` the second process is killed in its third step,
and in `hang` the second process never ends its first step.
`--job` runs the command line's training instead, with sampled completions.
"""

import argparse
import json
import os
import signal
import subprocess
import time
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from datasets import Dataset

from egpo_trl import EGPOConfig, EGPOTrainer, cli
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows
from tests.tiny import config

GENERATIONS, ROWS_PER_STEP, STEPS, SAVE_STEPS = 4, 4, 4, 2
ROWS = [{"prompt": row["prompt"]} for row in make_rows(ROWS_PER_STEP * STEPS)]
NUMBER = {json.dumps(row["prompt"]): number for number, row in enumerate(ROWS)}
SECONDS_TO_WAIT = 30  # for a process that hangs
NO_VARIANCE, NO_COT = (1, 3), (2, 3)  # steps in which the second process has groups of equal reward, or no CoT


def completion_text(number: int, sample: int) -> str:
    """Completion of a row: lengths differ by row and sample."""
    step, on_second = number // ROWS_PER_STEP, number % ROWS_PER_STEP >= ROWS_PER_STEP // 2
    thought = " ".join(["play", "Bach", "in", "order"][: 1 + (number + sample) % 4] * (1 + number % 3))
    answer = f"play {number} {sample}"
    return answer if on_second and step in NO_COT else f"<think>\n{thought}\n</think>\n\n{answer}"


def rollouts(prompts: list[Any], trainer: EGPOTrainer) -> dict[str, list[Any]]:
    """TRL's `rollout_func`: fixed completions in place of samples, with the rows' numbers for the reward."""
    tokenizer = trainer.processing_class
    numbers = [NUMBER[json.dumps(prompt)] for prompt in prompts]
    first = trainer.accelerator.process_index * len(prompts)
    texts = [completion_text(number, (first + place) % GENERATIONS) for place, number in enumerate(numbers)]
    rendered = tokenizer.apply_chat_template(prompts, add_generation_prompt=True, return_dict=True)["input_ids"]
    ids = [[*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] for text in texts]
    logprobs = [[0.0] * len(row) for row in ids]  # read under vLLM only
    return {"prompt_ids": rendered, "completion_ids": ids, "logprobs": logprobs, "number": numbers}


def checksum(ids: list[int]) -> int:
    """0 or 1, as a coin would give them."""
    return zlib.crc32(bytes(str(ids), "ascii")) % 2


def reward(completion_ids: list[list[int]], number: list[int], **_: Any) -> list[float]:
    """Binary, and equal within the groups that are to have no variance."""
    equal = [at % ROWS_PER_STEP >= ROWS_PER_STEP // 2 and at // ROWS_PER_STEP in NO_VARIANCE for at in number]
    return [1.0 if same else float(checksum(ids)) for ids, same in zip(completion_ids, equal, strict=True)]


def rare_reward(completion_ids: list[list[int]], number: list[int], **_: Any) -> list[float]:
    """No variance in two thirds of the groups."""
    return [float(at % 3 == 0 and checksum(ids)) for ids, at in zip(completion_ids, number, strict=True)]


def hanging_reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """The second process never comes back."""
    if int(os.environ["RANK"]):
        time.sleep(3600)
    return [float(checksum(ids)) for ids in completion_ids]


def dying_reward(completion_ids: list[list[int]], number: list[int], **_: Any) -> list[float]:
    """As [`reward`]; the second process is killed in the third step, after a checkpoint."""
    if int(os.environ["RANK"]) and min(number) >= SAVE_STEPS * ROWS_PER_STEP:
        os.kill(os.getpid(), signal.SIGKILL)
    return reward(completion_ids, number)


def unplugging_reward(completion_ids: list[list[int]], number: list[int], **_: Any) -> list[float]:
    """As [`reward`]; the second node pulls its cable in the third step."""
    if int(os.environ["RANK"]) and min(number) >= SAVE_STEPS * ROWS_PER_STEP:
        subprocess.run(["ip", "link", "set", "cable", "down"], check=True)
    return reward(completion_ids, number)


# mode -> reward and what it changes in the configuration
MODES: dict[str, tuple[Any, dict[str, Any]]] = {
    "main": (reward, {}),
    "sampling": (rare_reward, {"dynamic_sampling_rounds": 4, "num_iterations": 2, "beta": 0.0}),
    "die": (dying_reward, {"ddp_timeout": SECONDS_TO_WAIT}),
    "unplug": (unplugging_reward, {"ddp_timeout": SECONDS_TO_WAIT}),
    "hang": (hanging_reward, {"ddp_timeout": SECONDS_TO_WAIT}),
}


def offer_fsdp_on_cpu() -> None:
    """accelerate 1.15 offers FSDP to accelerators only: processes on CPU are declared to be of that kind."""
    post_init = EGPOConfig.__post_init__

    def declare(self: EGPOConfig) -> None:
        post_init(self)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    EGPOConfig.__post_init__ = declare


def bound_waiting_on_cpu() -> None:
    """transformers 5.23 hands `ddp_timeout` over for accelerators only; on CPU torch's default holds."""
    torch.distributed.distributed_c10d.default_pg_timeout = timedelta(seconds=SECONDS_TO_WAIT)


def device_options() -> dict[str, Any]:
    """DeepSpeed brings a CPU accelerator of its own, and has to be told the back end."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        return {"use_cpu": False, "ddp_backend": "gloo"}
    return {"use_cpu": True}


def train(folder: Path, resume: bool = False, mode: str = "main") -> EGPOTrainer:
    """Train four steps, or the last two from the checkpoint in the folder; write the model and the logs."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    judge, changes = MODES[mode]
    args = config(
        folder,
        num_generations=GENERATIONS,
        per_device_train_batch_size=GENERATIONS * ROWS_PER_STEP // 2 // world,
        gradient_accumulation_steps=2,
        max_steps=STEPS,
        learning_rate=2e-4,
        shuffle_dataset=False,
        save_strategy="steps",
        save_steps=SAVE_STEPS,
        max_completion_length=64,
        **{"beta": 0.1, **changes, **device_options()},
    )
    trainer = EGPOTrainer(str(demo_policy_path()), judge, args, Dataset.from_list(ROWS), rollout_func=rollouts)
    name = "resumed" if resume else "final"
    trainer.train(resume_from_checkpoint=str(folder / f"checkpoint-{SAVE_STEPS}") if resume else None)
    trainer.save_model(str(folder / name))
    found = {"engine": str(trainer.accelerator.distributed_type), "processes": trainer.accelerator.num_processes}
    logs = [log for log in trainer.state.log_history if "loss" in log]
    file = folder / f"logs-{name}-{trainer.accelerator.process_index}.json"
    file.write_text(json.dumps({**found, "logs": logs}))
    return trainer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the folder")
    parser.add_argument("--mode", choices=MODES, default="main")
    parser.add_argument("--job", action="store_true", help="run the command line's training, with sampled completions")
    options = parser.parse_args()
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        offer_fsdp_on_cpu()
    if options.mode in ("hang", "die", "unplug") and device_options()["use_cpu"]:
        bound_waiting_on_cpu()
    if not options.job:
        train(options.folder, options.resume, options.mode)
        return
    device = [word for name, value in device_options().items() for word in (f"--{name}", str(value))]
    cli.train([
        "--config", "configs/train/quickstart.yaml", "--output_dir", str(options.folder), "--max_steps", "2",
        "--logging_steps", "1", "--save_steps", "2", "--num_demo_rows", "16", "--max_validation_rows", "4",
        "--per_device_train_batch_size", "8", "--max_completion_length", "24", "--beta", "0.1", *device,
    ])  # fmt: skip


if __name__ == "__main__":
    main()
