"""Calculates how long a step takes at best, from what GPUs can read and compute; nothing is measured."""

from dataclasses import dataclass

from .planner import ModelSize, Plan

_COMPUTED_SHARE = 0.4  # of the peak, which large matrix products reach


@dataclass(frozen=True)
class GPU:
    """What a maker's data sheet says: memory in GB, 16-bit TFLOPS without sparsity, memory bandwidth in GB/s."""

    memory: float
    tflops: float
    bandwidth: float


GPUS = {
    "T4": GPU(15, 65, 320),
    "L4": GPU(24, 121, 300),
    "RTX4090": GPU(24, 165, 1008),
    "A100-40": GPU(40, 312, 1555),
    "A100": GPU(80, 312, 2039),
    "H100": GPU(80, 989, 3350),
    "H200": GPU(141, 989, 4800),
}


def seconds_of_step(size: ModelSize, plan: Plan, gpu: GPU) -> tuple[float, float]:
    """Seconds of generation and of the update in one optimizer step, if every completion is as long as it may be."""
    weights = (plan.bits / 8 if plan.bits < 16 else plan.dtype_bytes) * size.parameters
    cache = 2.0 * plan.rollouts * plan.tokens * size.layers * size.kv_width / 2
    batches = -(-plan.step_rollouts // plan.rollouts)
    generation = batches * (plan.tokens - plan.prompt) * (weights + cache) / (gpu.bandwidth * 1e9)
    passes = (4 if plan.adapters else 6) + (2 if plan.checkpointing else 0)  # operations a parameter and token
    micro_batches = plan.step_rollouts / plan.micro_batch
    work = passes * size.parameters * plan.pass_tokens(limited=False) * micro_batches
    return generation, work / (_COMPUTED_SHARE * gpu.tflops * 1e12)


def describe_time(size: ModelSize, plan: Plan, name: str, steps: int) -> str:
    """A line about the time of a step, and of the run where its number of steps is known."""
    generation, update = seconds_of_step(size, plan, GPUS[name])
    total = generation + update
    run = f" {steps} steps: {steps * total / 3600:.1f} hours." if steps > 0 else ""
    return (
        f"A step on {name}: {total:.0f} s or more ({generation:.0f} s generation, {update:.0f} s update), calculated for "
        f"completions of full length at the GPU's full bandwidth and {100 * _COMPUTED_SHARE:.0f} % of its peak.{run}"
    )
