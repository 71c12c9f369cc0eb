"""What cannot be verified without GPUs: each engine, QLoRA and vLLM, launched for two steps on this machine's GPUs.

The most memory that a run took on a GPU stands beside what `egpo-trl plan` calculates for it.

    python benchmarks/gpu_check.py            run every command and print a table
    python benchmarks/gpu_check.py --list     print the commands

Models other than the embedded policy are downloaded from the Hub. Commands that need two GPUs, or vLLM, are skipped
where these are missing.
"""

import argparse
import contextlib
import importlib.util
import io
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[1]
QUICKSTART = "configs/train/quickstart.yaml"
SHORT = (
    "--use_cpu false --bf16 true --max_steps 2 --logging_steps 1 --save_steps 2 --num_demo_rows 64 "
    "--max_validation_rows 4 --per_device_train_batch_size 8 --report false"
)
MODEL = "--model Qwen/Qwen3-0.6B"
QLORA = f"{MODEL} --dtype bfloat16 --use_peft true --lora_target_modules all-linear --load_in_4bit true"
VLLM = f"{MODEL} --beta 0.001 --use_vllm true --vllm_mode colocate --vllm_max_model_length 2048"


def commands(gpus: int, has_vllm: bool) -> dict[str, str]:
    """Command of each check that this many GPUs can run."""
    runs = {"single": ("single", ""), "QLoRA": ("single", QLORA)}
    if gpus > 1:
        runs |= {engine: (engine, "--beta 0.001") for engine in ("ddp", "zero2", "zero3", "zero3_offload", "fsdp2")}
        runs |= {"QLoRA, ZeRO-3": ("zero3", f"{QLORA} --bnb_4bit_quant_storage bfloat16")}
    if has_vllm:
        runs |= {"vLLM colocate": ("single", VLLM)}
        runs |= {"vLLM colocate, ZeRO-3": ("zero3", VLLM)} if gpus > 1 else {}
    return {
        name: f"accelerate launch --config_file configs/accelerate/{engine}.yaml --num_processes "
        f"{1 if engine == 'single' else gpus} train.py --config {QUICKSTART} {SHORT} {options} "
        f"--output_dir runs/gpu-check/{name.lower().replace(', ', '-').replace(' ', '-')}"
        for name, (engine, options) in runs.items()
    }


def planned_gb(command: str, gpu_gb: float) -> float:
    """Total of `egpo-trl plan` for a command of [`commands`]."""
    from egpo_trl.cli import main as cli

    words = command.split()
    engine, processes = (words[words.index(name) + 1] for name in ("--config_file", "--num_processes"))
    recipe = words[words.index("train.py") + 1 :]
    plan = ["--accelerate_config", engine, "--num_processes", processes, "--gpu_memory", f"{gpu_gb:.1f}"]
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        cli(["plan", *plan, "--prompt_length", "512", *recipe])
    found = re.search(r"^ *total +([\d.]+) of", shown.getvalue(), re.MULTILINE)
    assert found is not None, shown.getvalue()
    return float(found[1])


class PeakMemory:
    """The most bytes that `used` gives while the block runs, above what it gave before."""

    def __init__(self, used: Callable[[], int], seconds: float = 0.2) -> None:
        self._used, self._seconds = used, seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.bytes = 0

    def _watch(self) -> None:
        while not self._done.wait(self._seconds):
            self.bytes = max(self.bytes, self._used() - self._before)

    def __enter__(self) -> "PeakMemory":
        self._before = self._used()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()


def used_bytes() -> int:
    """Bytes that are taken on the fullest GPU, by all processes."""
    import torch

    memory = [torch.cuda.mem_get_info(gpu) for gpu in range(torch.cuda.device_count())]
    return max(total - free for free, total in memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the commands for two GPUs and vLLM, and end")
    parser.add_argument("--seconds", type=float, default=900, help="time-out of one command (default: 900)")
    options = parser.parse_args()
    if options.list:
        print("\n".join(commands(gpus=2, has_vllm=True).values()))
        return
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("gpu-check: no GPU here. --list prints the commands to run on a machine that has one.")
    results = {}
    gpu_gb = torch.cuda.get_device_properties(0).total_memory / 1e9
    for name, command in commands(torch.cuda.device_count(), importlib.util.find_spec("vllm") is not None).items():
        print(f"\n{name}: {command}", flush=True)
        words = [sys.executable, "-m", "accelerate.commands.launch", *command.split()[2:]]
        with PeakMemory(used_bytes) as peak:
            try:
                done = subprocess.run(words, cwd=ROOT, timeout=options.seconds, check=False)
                result = "passed" if done.returncode == 0 else f"failed ({done.returncode})"
            except subprocess.TimeoutExpired:
                result = f"hung ({options.seconds:.0f} s)"
        results[name] = result, peak.bytes / 1e9, planned_gb(command, gpu_gb)
    print("\n| check | result | GB at most on a GPU | GB planned |\n|---|---|---:|---:|")
    for name, (result, measured, planned) in results.items():
        print(f"| {name} | {result} | {measured:.2f} | {planned:.2f} |")
    print(f"\nMeasured: all that a run takes, its CUDA context too, on a GPU of {gpu_gb:.0f} GB; planned: without it.")
    raise SystemExit(any(result != "passed" for result, _, _ in results.values()))


if __name__ == "__main__":
    main()
