"""Builds the warm starts of the tasks, each once, from seeds alone."""

import fcntl
import hashlib
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from demonstrations import Manner
from transformers import AutoModelForCausalLM, AutoTokenizer
from warm_start import WORLDS, Example, World, draw, encode_queries, fit, make_batch, warm_start

from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_queries
from egpo_trl.utils.files import write_json

from . import distractors
from .evaluation import measure
from .tasks import TASKS, Task

SHIPPED = {"single_turn": "single-turn", "multi_turn": "multi-turn"}  # warm start 0 of these ships in the package
SCRATCH = {
    "single_turn": WORLDS["single-turn"]._replace(steps=700, batch_size=32, num_lengths=4),
    "multi_turn": WORLDS["multi-turn"]._replace(steps=800),
}
# The sparse start: the warm start of the main task, trained further on demonstrations that are seldom right.
SELDOM_RIGHT = Manner({"bind": 0.04, "list": 0.06, "guess": 0.9}, {"bind": 0.5, "list": 0.8, "guess": 0.99})
FURTHER_STEPS = {"sparse": 150, "distractors": 300}
FURTHER_RATE = 5e-4


def _further(task: str, seed: int, model: Any, tokenizer: Any) -> None:
    """Train a warm start of the main task on the demonstrations of another task."""
    rng = random.Random(f"{task}-{seed}")
    steps, size = FURTHER_STEPS[task], 32
    examples: list[Example]
    if task == "sparse":
        from demonstrations import demonstrate

        queries: Sequence[Any] = make_queries(4000, 1000 + seed, "train")
        examples = encode_queries(tokenizer, rng, queries, partial(_with, demonstrate, SELDOM_RIGHT))
    else:
        queries = distractors.make_queries(6000, 1000 + seed, "train")
        examples = encode_queries(tokenizer, rng, queries, partial(_with, distractors.demonstrate_search, Manner()))

    def batches() -> Iterator[tuple[dict[str, torch.Tensor], float]]:
        for step in range(steps):
            rate = FURTHER_RATE * min(1.0, (step + 1) / 20, 2 * (steps - step) / steps)
            yield make_batch(draw(rng, examples, size, 4), tokenizer.pad_token_id), rate

    for step, loss in fit(model, batches()):
        if step % 50 == 0:
            print(f"{task} {seed} step {step} loss {loss:.3f}", flush=True)


def _with(write: Callable[..., str], manner: Manner, rng: random.Random, query: Any) -> str:
    return write(rng, query, manner)


def _build(task: Task, number: int, work: Path) -> tuple[Any, Any]:
    if task.name in SCRATCH:
        source: World = SCRATCH[task.name]
        return warm_start(source, seed=number, report=lambda line: print(line, flush=True))
    model, tokenizer = load(folder_of(TASKS["single_turn"], number, work))
    torch.manual_seed(number)
    _further(task.name, number, model, tokenizer)
    return model, tokenizer


def load(folder: Path) -> tuple[Any, Any]:
    """Policy in float32 and tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder, padding_side="left")


def weights_hash(folder: Path) -> str:
    """First digits of the SHA-256 of the weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:12]


def folder_of(task: Task, number: int, work: Path) -> Path:
    """Folder of a warm start, which is built and measured if it does not exist."""
    folder = work / "warm_starts" / f"{task.name}-{number}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be building it
        if (folder / "measured.json").is_file():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        begin = time.process_time()
        if number == 0 and task.name in SHIPPED:
            shutil.copytree(demo_policy_path(SHIPPED[task.name]), folder)
        else:
            model, tokenizer = _build(task, number, work)
            model.to(torch.bfloat16).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        built = time.process_time() - begin
        measured = measure(task, *load(folder), task.held_out_rows(tuning=False))
        record = {
            "task": task.name,
            "warm_start": number,
            "weights": weights_hash(folder),
            "build_seconds": round(built),
        }
        write_json({**record, **measured}, folder / "measured.json")
    return folder
