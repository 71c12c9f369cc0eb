"""torch.compile under widths that change from step to step: how often it compiles, how long that takes, and whether it
pays, for `GRPOTrainer`, for `EGPOTrainer`, and with lengths in buckets (`pad_to_multiple_of`).

    python -m benchmarks.compile_lengths                       compiles with inductor, which takes minutes on a CPU
    python -m benchmarks.compile_lengths --backend eager       counts the compilations only

Each step is the forward and backward pass of one generation batch of other lengths and other dead rows, in micro-batches
as `benchmarks/update_speed.py` has them. The same steps run without torch.compile beside it; the ratio of CPU times is the
median over the second half of the steps.
"""

import argparse
import statistics
from itertools import pairwise
from typing import Any

import torch
from torch._dynamo.utils import counters

from benchmarks.update_speed import OURS, STOCK, Batch, build, make_batch, step

BUCKET = 32


def batches(steps: int, options: argparse.Namespace) -> list[Batch]:
    """One batch a step: lengths and shares of dead rows change, one has no live row at all."""
    shares = [0.0, 0.5, 0.25, 1.0, 0.75]
    return [make_batch("lognormal", shares[index % 5], options, seed=index) for index in range(steps)]


def run(name: str, bucket: int | None, options: argparse.Namespace) -> dict[str, Any]:
    """Graphs after each step, CPU seconds that compiling added, and the ratio of CPU times once it is over."""
    torch._dynamo.reset()
    counters.clear()
    plain, trainer = build(name, options), build(name, options)
    plain.pad_to_multiple_of = trainer.pad_to_multiple_of = bucket
    compiled = torch.compile(trainer.model, backend=options.backend)
    graphs: list[int] = []
    without, seconds = [], []
    for batch in batches(options.steps, options):
        without.append(step(plain, batch)[1])
        seconds.append(step(trainer, batch, compiled)[1])
        graphs.append(counters["stats"]["unique_graphs"])
    late = options.steps // 2
    ratios = [a / b for a, b in zip(seconds[late:], without[late:], strict=True)]
    return {"graphs": graphs, "seconds": sum(seconds) - sum(without), "ratio": statistics.median(ratios)}


def steps_that_compiled(graphs: list[int]) -> list[int]:
    """Steps (from 1) after which there were more graphs than before."""
    return [index + 1 for index, (old, new) in enumerate(pairwise([0, *graphs])) if new > old]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="inductor")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--prompt_length", type=int, default=48)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--hidden_size", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--vocab_size", type=int, default=2048)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| trainer | graphs | steps that compiled | CPU seconds more | CPU time ratio afterwards |\n|" + "---|" * 5)
    for name, bucket in ((STOCK, None), (OURS, None), (OURS, BUCKET)):
        found = run(name, bucket, options)
        label = f"{name}, pad_to_multiple_of {bucket}" if bucket else name
        steps = ", ".join(map(str, steps_that_compiled(found["graphs"])))
        print(f"| {label} | {found['graphs'][-1]} | {steps} of {options.steps} | {found['seconds']:.0f} | "
              f"{found['ratio']:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
