"""Builds the warm starts of the tasks, each once, from seeds alone."""

import fcntl
import hashlib
import random
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from demonstrations import Manner, demonstrate
from transformers import AutoModelForCausalLM, AutoTokenizer
from warm_start import WORLDS, draw, encode_queries, fit, make_batch, warm_start

from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.utils.files import write_json

from . import distractors
from .evaluation import measure, scores
from .tasks import TASKS, Task

SHIPPED = {"single_turn": "single-turn", "multi_turn": "multi-turn"}  # warm start 0 of these ships in the package
SCRATCH = {
    "single_turn": WORLDS["single-turn"]._replace(batch_size=32, num_lengths=4),
    "multi_turn": WORLDS["multi-turn"]._replace(steps=1000),
}
SEED_STEP = 10  # a build whose share of right samples misses the range is done again with a seed so much higher
RANGES = {"single_turn": (0.25, 0.7), "multi_turn": (0.25, 0.7), "sparse": (0.05, 0.15), "distractors": (0.2, 0.7)}
TRIES = 4


class WarmStartError(RuntimeError):
    """No seed gives an acceptable warm start: the settings are wrong, and no run can start."""


class Further(NamedTuple):
    """Training of a warm start of the main task on other demonstrations, until a share of samples is right."""

    write: Callable[..., str]
    manner: Manner
    batch_size: int
    is_done: Callable[[float], bool]
    look: int  # steps between looks at that share
    steps: int  # at most


_SELDOM_RIGHT = Manner({"bind": 0.04, "list": 0.06, "guess": 0.9}, {"bind": 0.5, "list": 0.8, "guess": 0.99})
FURTHER = {
    "sparse": Further(demonstrate, _SELDOM_RIGHT, 32, lambda share: share <= 0.11, 25, 500),
    "distractors": Further(distractors.demonstrate_search, Manner(), 16, lambda share: share >= 0.35, 100, 4000),
}
FURTHER_RATE = 5e-4
LOOK_ROWS = 128


def _further(task: Task, seed: int, model: Any, tokenizer: Any) -> None:
    further, rng = FURTHER[task.name], random.Random(f"{task.name}-{seed}")
    queries = task.draw(6000, 1000 + seed, "train")
    rows = task.rows(queries[:LOOK_ROWS], "look")
    write = partial(_in_manner, further)
    examples = encode_queries(tokenizer, rng, queries, write)

    def batches() -> Iterator[tuple[dict[str, torch.Tensor], float]]:
        for step in range(further.steps):
            batch = make_batch(draw(rng, examples, further.batch_size, 4), tokenizer.pad_token_id)
            yield batch, FURTHER_RATE * min(1.0, (step + 1) / 20)

    for step, loss in fit(model, batches()):
        if step % further.look == further.look - 1:
            share = sum(scores(task, model, tokenizer, rows, 1.0)) / len(rows)
            print(f"{task.name} {seed} step {step} loss {loss:.3f} right {share:.3f}", flush=True)
            if further.is_done(share):
                break
    model.eval()


def _in_manner(further: Further, rng: random.Random, query: Any) -> str:
    return further.write(rng, query, further.manner)


def _build(task: Task, seed: int, number: int, work: Path) -> tuple[Any, Any]:
    if task.name in SCRATCH:
        return warm_start(SCRATCH[task.name], seed=seed, report=lambda line: print(line, flush=True))
    model, tokenizer = load(folder_of(TASKS["single_turn"], number, work))
    torch.manual_seed(seed)
    _further(task, seed, model, tokenizer)
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
        low, high = RANGES[task.name]
        for seed in range(number, number + TRIES * SEED_STEP, SEED_STEP):
            begin = time.process_time()
            shutil.rmtree(folder, ignore_errors=True)
            if seed == 0 and task.name in SHIPPED:
                shutil.copytree(demo_policy_path(SHIPPED[task.name]), folder)
            else:
                model, tokenizer = _build(task, seed, number, work)
                model.to(torch.bfloat16).save_pretrained(folder)
                tokenizer.save_pretrained(folder)
            seconds = round(time.process_time() - begin)
            measured = measure(task, *load(folder), task.held_out_rows(tuning=False))
            print(f"{task.name} {number}, seed {seed}: {measured}", flush=True)
            if low <= measured["exact_t1"] <= high:
                record = {"task": task.name, "warm_start": number, "seed": seed, "weights": weights_hash(folder)}
                write_json({**record, "build_seconds": seconds, **measured}, folder / "measured.json")
                return folder
        raise WarmStartError(f"{task.name} {number}: no seed gives a warm start between {low} and {high}")
