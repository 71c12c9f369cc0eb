"""torch.compile under widths that change from step to step: how often it compiles, how long that takes, and whether it
pays, for `GRPOTrainer`, for `EGPOTrainer`, and with lengths in buckets (`pad_to_multiple_of`).

    python benchmarks/compile_lengths.py                       compiles with inductor, which takes minutes on a CPU
    python benchmarks/compile_lengths.py --backend eager       counts the compilations only

Each step is the forward and backward pass of one generation batch of other lengths and other dead rows, in micro-batches
as `benchmarks/update_speed.py` has them. The same steps run without torch.compile beside it.
"""

import argparse
import statistics
import time

import torch
from torch._dynamo.utils import counters

from benchmarks.update_speed import OURS, STOCK, Batch, build, make_batch, step

BUCKET = 32


def batches(steps: int, options: argparse.Namespace) -> list[Batch]:
    """One batch a step: lengths and shares of dead rows change, one has no live row at all."""
    shares = [0.0, 0.5, 0.25, 1.0, 0.75]
    return [make_batch("lognormal", shares[index % 5], options, seed=index) for index in range(steps)]


def run(name: str, bucket: int | None, options: argparse.Namespace) -> dict[str, float]:
    torch._dynamo.reset()
    counters.clear()
    plain, trainer = build(name, options), build(name, options)
    for one in (plain, trainer):
        one.pad_to_multiple_of = bucket
    compiled = torch.compile(trainer.model, backend=options.backend)
    seconds: dict[str, list[float]] = {"plain": [], "compiled": []}
    for batch in batches(options.steps, options):
        seconds["plain"].append(step(plain, batch)[1])
        start = time.process_time()
        step(trainer, batch, compiled)
        seconds["compiled"].append(time.process_time() - start)
    late = options.steps // 2  # by then everything is compiled
    ratios = [a / b for a, b in zip(seconds["compiled"][late:], seconds["plain"][late:], strict=True)]
    return {
        "graphs": counters["stats"]["unique_graphs"],
        "steps that compiled": sum(a > 3 * b for a, b in zip(seconds["compiled"], seconds["plain"], strict=True)),
        "compiling": sum(seconds["compiled"]) - sum(seconds["plain"]),
        "late": statistics.median(ratios),
    }


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
    print(
        "| trainer | graphs | steps that compiled | seconds more in all | compiled / not, CPU time, second half |\n|"
        + "---|" * 5
    )
    for name, bucket in ((STOCK, None), (OURS, None), (OURS, BUCKET)):
        found = run(name, bucket, options)
        label = f"{name}, pad_to_multiple_of {bucket}" if bucket else name
        print(f"| {label} | {found['graphs']} | {found['steps that compiled']} of {options.steps} | "
              f"{found['compiling']:.0f} | {found['late']:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
