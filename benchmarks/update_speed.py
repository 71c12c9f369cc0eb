"""Forward and backward pass of an optimizer step beside stock TRL, over lengths and shares of rows without advantage.

    python benchmarks/update_speed.py --output docs/images/update_speed.png

Both trainers split, and ours sorts, the same generation batch in `_prepare_inputs` and run the micro-batches of one
optimizer step. They take turns within one process, the order changing from repeat to repeat; the ratios are medians over
pairs. A second stock trainer shows how far the machine's noise goes. Peak memory is what a forked process needs for one
step beyond what it holds after a step on a few tokens, which pays for everything that happens once.
"""

import argparse
import ctypes
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM
from trl import GRPOConfig, GRPOTrainer

from egpo_trl import EGPOConfig, EGPOTrainer
from egpo_trl.demo.policy import demo_policy_path

ROWS, MICRO_BATCHES, GROUP = 32, 4, 8
SHARES = (0.0, 0.25, 0.5, 0.75)
LENGTHS = ("equal", "lognormal")
STOCK, OURS, CONTROL = "GRPOTrainer", "EGPOTrainer", "GRPOTrainer again"
M_MMAP_THRESHOLD = -3  # of glibc's mallopt


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


def make_batch(lengths: str, share: float, options: argparse.Namespace, seed: int = 1) -> Batch:
    """A generation batch of groups of rollouts, of which a share has the advantage 0, padded as TRL pads it."""
    generator = torch.Generator().manual_seed(seed)
    if lengths == "equal":
        completions = torch.full((ROWS,), options.length)
        prompts = torch.full((ROWS,), options.prompt_length)
    else:
        spread = torch.randn(ROWS, generator=generator).mul(0.8).exp() * options.length / 2
        completions = spread.round().long().clamp(options.length // 8, 2 * options.length)
        prompts = torch.randint(options.prompt_length // 2, options.prompt_length + 1, (ROWS // GROUP,))
        prompts = prompts.repeat_interleave(GROUP)
    advantages = torch.randn(ROWS, generator=generator)
    advantages[: round(share * ROWS)] = 0.0
    prompt_mask = (torch.arange(int(prompts.max())).flip(0) < prompts[:, None]).long()
    completion_mask = (torch.arange(int(completions.max())) < completions[:, None]).long()
    return {
        "prompt_ids": torch.randint(300, 800, prompt_mask.shape, generator=generator), "prompt_mask": prompt_mask,
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
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 65536)  # so that what is freed leaves the process at once
    step(trainer, few_tokens(batch))
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


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4))
    for index, lengths in enumerate(LENGTHS):
        cells = [row for row in rows if row["lengths"] == lengths]
        places = [x + (index - 0.5) * 0.38 for x in range(len(SHARES))]
        for axes, values in ((left, [1 / c["wall"] for c in cells]), (right, [c["memory"] for c in cells])):
            bars = axes.bar(places, values, 0.36, label=f"{lengths} lengths")
            axes.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
    for axes, title in ((left, "Speed-up, forward + backward (× stock TRL)"), (right, "Peak memory (× stock TRL)")):
        axes.axhline(1.0, color="0.4", linewidth=0.8, linestyle="--")
        axes.set_title(title, fontsize=10)
        axes.set_xticks(range(len(SHARES)), [f"{share:.0%}" for share in SHARES])
        axes.set_xlabel("rows with an advantage of 0")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.12)
    left.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--prompt_length", type=int, default=48)
    parser.add_argument("--length", type=int, default=128, help="equal length; lognormal ones have half this median")
    parser.add_argument("--hidden_size", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--vocab_size", type=int, default=2048)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="shares of rows without advantage")
    parser.add_argument("--lengths", nargs="+", default=LENGTHS, choices=LENGTHS)
    parser.add_argument("--output", type=Path, help="picture to draw, of all lengths and shares")
    options = parser.parse_args()
    torch.set_num_threads(1)
    trainers = {name: build(name, options) for name in (STOCK, OURS, CONTROL)}
    cells = [(name, share, make_batch(name, share, options)) for name in options.lengths for share in options.shares]
    memory = [{name: peak_memory(trainers[name], batch) for name in (STOCK, OURS)} for *_, batch in cells]
    results = []
    print("| lengths | rows without advantage | stock s | ours s | time ratio | CPU time ratio | stock again, CPU | "
          "speed-up | stock MiB | ours MiB | memory ratio |\n|" + "---|" * 11)  # fmt: skip
    for (lengths, share, batch), peak in zip(cells, memory, strict=True):
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in trainers}
        for repeat in range(options.repeats + 1):
            for name in list(trainers) if repeat % 2 else list(trainers)[::-1]:
                seconds[name].append(step(trainers[name], batch))
        seconds = {name: values[1:] for name, values in seconds.items()}  # the first one warms up

        def ratio(name: str, clock: int, seconds: dict[str, list[tuple[float, float]]] = seconds) -> float:
            pairs = zip(seconds[name], seconds[STOCK], strict=True)
            return statistics.median(value[clock] / stock[clock] for value, stock in pairs)

        stock, ours = (statistics.median(value[0] for value in seconds[name]) for name in (STOCK, OURS))
        results.append({"lengths": lengths, "wall": ratio(OURS, 0), "memory": peak[OURS] / peak[STOCK]})
        print(f"| {lengths} | {share:.0%} | {stock:.3f} | {ours:.3f} | {ratio(OURS, 0):.3f} | {ratio(OURS, 1):.3f} | "
              f"{ratio(CONTROL, 1):.3f} | {1 / ratio(OURS, 0):.2f} | {peak[STOCK]:.0f} | {peak[OURS]:.0f} | "
              f"{peak[OURS] / peak[STOCK]:.2f} |", flush=True)  # fmt: skip
    if options.output:
        plot(results, options.output)


if __name__ == "__main__":
    main()
