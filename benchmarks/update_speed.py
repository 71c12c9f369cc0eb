"""Forward and backward pass of an optimizer step beside stock TRL, over prompt lengths and shares of dead groups.

    python benchmarks/update_speed.py   # about an hour; shapes that are in benchmarks/update_speed.csv are not timed again

The shapes are those of function calling: long prompts, groups of 8 rollouts of one prompt, completions lognormal around 100
tokens, and groups whose rewards are all equal. Both trainers split, and ours sorts, the same generation batch in
`_prepare_inputs` and run the micro-batches of one optimizer step. They take turns within one process, the order changing
from repeat to repeat; the ratios are medians over pairs. A second stock trainer shows how far the machine's noise goes.

On a CPU TRL's head scores the positions of the prompt too, on CUDA it does not. `head on completions` gives the ratio with
a head that skips them in both trainers. Peak memory is what a forked process needs for one step beyond what it holds after
a step on a few tokens, which pays for everything that happens once.
"""

import argparse
import contextlib
import csv
import ctypes
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import trl.trainer.utils
from datasets import Dataset
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM
from trl import GRPOConfig, GRPOTrainer

from egpo_trl import EGPOConfig, EGPOTrainer
from egpo_trl.demo.policy import demo_policy_path

ROWS, MICRO_BATCHES, GROUP = 32, 4, 8
SHARES = (0.0, 0.5)
PROMPTS = (36, 100, 300, 600, 1200, 2400)
STOCK, OURS, CONTROL = "GRPOTrainer", "EGPOTrainer", "GRPOTrainer again"
M_MMAP_THRESHOLD = -3  # of glibc's mallopt
RESULTS = Path(__file__).with_suffix(".csv")
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "update_speed.png"


def build(name: str, options: argparse.Namespace) -> GRPOTrainer:
    cls, config = (EGPOTrainer, EGPOConfig) if name == OURS else (GRPOTrainer, GRPOConfig)
    torch.manual_seed(0)
    size = options.hidden_size
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=options.vocab_size, hidden_size=size, intermediate_size=3 * size, head_dim=32,
            num_hidden_layers=options.layers, num_attention_heads=size // 32, num_key_value_heads=size // 32,
            tie_word_embeddings=True,
        )
    )  # fmt: skip
    args = config(
        tempfile.mkdtemp(), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none",
        per_device_train_batch_size=ROWS // MICRO_BATCHES, gradient_accumulation_steps=MICRO_BATCHES,
        num_generations=GROUP,
    )  # fmt: skip
    rows = Dataset.from_list([{"prompt": [{"role": "user", "content": "hi"}]}] * ROWS)
    tokenizer = AutoTokenizer.from_pretrained(demo_policy_path())
    trainer = cls(
        model,
        lambda completions, **_: [0.0] * len(completions),
        args,
        rows,
        processing_class=tokenizer,
    )
    trainer.current_gradient_accumulation_steps = MICRO_BATCHES
    trainer.model.train()
    return trainer


Batch = dict[str, torch.Tensor]


def make_batch(prompt_length: int, share: float, options: argparse.Namespace, seed: int = 1) -> Batch:
    """A generation batch of groups of rollouts, of which a share is dead, padded as TRL pads it."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.randn(ROWS, generator=generator).mul(options.spread).exp() * options.length
    completions = spread.round().long().clamp(8, 4 * options.length)
    shortest, groups = round(prompt_length * 2 / 3), ROWS // GROUP
    prompts = torch.randint(shortest, prompt_length + prompt_length - shortest + 1, (groups,), generator=generator)
    prompt_ids = torch.randint(300, 800, (groups, int(prompts.max())), generator=generator).repeat_interleave(
        GROUP, dim=0
    )
    prompts = prompts.repeat_interleave(GROUP)
    advantages = torch.randn(ROWS, generator=generator)
    advantages[: round(share * groups) * GROUP] = 0.0
    prompt_mask = (torch.arange(int(prompts.max())).flip(0) < prompts[:, None]).long()
    completion_mask = (torch.arange(int(completions.max())) < completions[:, None]).long()
    return {
        "prompt_ids": prompt_ids, "prompt_mask": prompt_mask,
        "completion_ids": torch.randint(300, 800, completion_mask.shape, generator=generator),
        "completion_mask": completion_mask, "advantages": advantages, "num_items_in_batch": completion_mask.sum(),
    }  # fmt: skip


def few_tokens(batch: Batch) -> Batch:
    """The batch cut down to the last prompt tokens and the first completion tokens."""
    return {
        name: value[:, -8:] if name.startswith("prompt") else value[:, :8] if name.startswith("completion") else value
        for name, value in batch.items()
    }


def step(trainer: GRPOTrainer, batch: Batch, model: Any = None) -> tuple[float, float]:
    """Wall and CPU seconds of the micro-batches of one optimizer step; the model may stand for the trainer's own."""
    model = trainer.model if model is None else model
    trainer.model.zero_grad()
    trainer._generate_and_score_completions = lambda inputs: dict(batch)
    trainer._buffered_inputs = None
    wall, cpu = time.perf_counter(), time.process_time()
    for trainer._step in range(MICRO_BATCHES):
        trainer._compute_loss(model, trainer._prepare_inputs([])).backward()
    return time.perf_counter() - wall, time.process_time() - cpu


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def _peak_in_child(trainer: GRPOTrainer, batch: Batch, queue: Any) -> None:
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, 65536)  # so that what is freed leaves the process at once
    step(trainer, few_tokens(batch))
    libc.malloc_trim(0)  # what shapes before this one left
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    start = _status("VmRSS")
    step(trainer, batch)
    queue.put(_status("VmHWM") - start)


def peak_memory(trainer: GRPOTrainer, batch: Batch) -> float:
    """MiB that one step needs beyond what the process holds before it (Linux)."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_peak_in_child, args=(trainer, batch, queue))
    child.start()
    peak: float = queue.get()
    child.join()
    return peak


@contextlib.contextmanager
def head_on_completions() -> Iterator[None]:
    """TRL's head leaves out positions without a label, as it does on CUDA."""
    with mock.patch.object(trl.trainer.utils, "_use_triton", return_value=True):
        yield


def plot(rows: list[dict[str, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4))
    for share in sorted({row["dead"] for row in rows}):
        cells = sorted((row for row in rows if row["dead"] == share), key=lambda row: row["prompt"])
        lengths = [row["prompt"] for row in cells]
        label = f"{share:.0%} of the groups dead"
        left.plot(lengths, [1 / row["ratio"] for row in cells], marker="o", label=label)
        right.plot(lengths, [row["ours_mib"] / row["stock_mib"] for row in cells], marker="o", label=label)
        for row in cells:
            left.annotate(f"{1 / row['ratio']:.1f}", (row["prompt"], 1 / row["ratio"]), fontsize=8, xytext=(0, 5),
                          textcoords="offset points", ha="center")  # fmt: skip
    lengths = sorted({row["prompt"] for row in rows})
    for axes, title in ((left, "Speed-up, forward + backward (× stock TRL)"), (right, "Peak memory (× stock TRL)")):
        axes.axhline(1.0, color="0.4", linewidth=0.8, linestyle="--")
        axes.set_title(title, fontsize=10)
        axes.set_xscale("log")
        axes.set_xticks(lengths, [f"{length:.0f}" for length in lengths])
        axes.minorticks_off()
        axes.set_xlabel("tokens of the prompt")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def measure(
    trainers: dict[str, GRPOTrainer], prompt: int, share: float, options: argparse.Namespace
) -> dict[str, float]:
    """One shape: CPU seconds of a step, ratios to stock, and the MiB that a step needs."""
    batch = make_batch(prompt, share, options)
    step(trainers[OURS], batch)  # pays for the check of the packing
    peak = {name: peak_memory(trainers[name], batch) for name in (STOCK, OURS)}
    cpu: dict[str, list[float]] = {name: [] for name in trainers}
    for repeat in range(options.repeats):
        for name in list(trainers) if repeat % 2 else list(trainers)[::-1]:
            cpu[name].append(step(trainers[name], batch)[1])
    with head_on_completions():
        compact = step(trainers[OURS], batch)[1] / step(trainers[STOCK], batch)[1]
    stock, ours = (statistics.median(cpu[name]) for name in (STOCK, OURS))
    ratio, again = (
        statistics.median(a / b for a, b in zip(cpu[name], cpu[STOCK], strict=True)) for name in (OURS, CONTROL)
    )
    return {
        "prompt": prompt, "dead": share, "stock_s": round(stock, 2), "ours_s": round(ours, 2), "ratio": round(ratio, 3),
        "stock_again": round(again, 3), "ratio_head_on_completions": round(compact, 3),
        "stock_mib": round(peak[STOCK]), "ours_mib": round(peak[OURS]),
    }  # fmt: skip


def read_results(path: Path) -> list[dict[str, float]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def print_table(rows: list[dict[str, float]]) -> None:
    names = (
        "prompt",
        "dead",
        "stock s",
        "ours s",
        "ratio",
        "stock again",
        "head on completions",
        "speed-up",
        "memory",
    )
    print("|", " | ".join(names), "|\n|" + "---|" * len(names))
    for row in sorted(rows, key=lambda row: (row["prompt"], row["dead"])):
        ratios = (row["ratio"], row["stock_again"], row["ratio_head_on_completions"])
        seconds = f"{row['stock_s']:.2f} | {row['ours_s']:.2f} | " + " | ".join(f"{ratio:.3f}" for ratio in ratios)
        gain = f"{1 / row['ratio']:.1f} | {row['ours_mib'] / row['stock_mib']:.2f}"
        print(f"| {row['prompt']:,.0f} | {row['dead']:.0%} | {seconds} | {gain} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--prompts", type=int, nargs="+", default=PROMPTS, help="mean tokens of the prompts")
    parser.add_argument("--length", type=int, default=100, help="median tokens of the completions")
    parser.add_argument("--spread", type=float, default=0.4, help="standard deviation of their logarithm")
    parser.add_argument("--hidden_size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--vocab_size", type=int, default=8192)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="shares of dead groups")
    parser.add_argument("--results", type=Path, default=RESULTS, help="CSV of the shapes that have been timed")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="picture to draw from it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = read_results(options.results)
    timed = {(row["prompt"], row["dead"]) for row in rows}
    wanted = [shape for shape in itertools.product(options.prompts, options.shares) if shape not in timed]
    trainers = {name: build(name, options) for name in (STOCK, OURS, CONTROL)} if wanted else {}
    for prompt, share in wanted:
        row = measure(trainers, prompt, share, options)
        is_new = not options.results.exists()
        with options.results.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        rows.append(row)
        print(row, flush=True)
    print_table(rows)
    plot(rows, options.picture)


if __name__ == "__main__":
    main()
