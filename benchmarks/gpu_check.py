"""What cannot be verified without GPUs: each engine, QLoRA and vLLM, launched for two steps on this machine's GPUs.

    python benchmarks/gpu_check.py            run every command and print a table
    python benchmarks/gpu_check.py --list     print the commands

Models other than the embedded policy are downloaded from the Hub. Commands that need two GPUs, or vLLM, are skipped
where these are missing.
"""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUICKSTART = "configs/train/quickstart.yaml"
SHORT = (
    "--use_cpu false --bf16 true --max_steps 2 --logging_steps 1 --save_steps 2 --num_demo_rows 64 "
    "--max_validation_rows 4 --per_device_train_batch_size 8 --report false"
)
MODEL = "--model_name_or_path Qwen/Qwen3-0.6B"
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
    for name, command in commands(torch.cuda.device_count(), importlib.util.find_spec("vllm") is not None).items():
        print(f"\n{name}: {command}", flush=True)
        words = [sys.executable, "-m", "accelerate.commands.launch", *command.split()[2:]]
        try:
            done = subprocess.run(words, cwd=ROOT, timeout=options.seconds, check=False)
            results[name] = "passed" if done.returncode == 0 else f"failed ({done.returncode})"
        except subprocess.TimeoutExpired:
            results[name] = f"hung ({options.seconds:.0f} s)"
    print("\n| check | result |\n|---|---|\n" + "\n".join(f"| {name} | {text} |" for name, text in results.items()))
    raise SystemExit(any(text != "passed" for text in results.values()))


if __name__ == "__main__":
    main()
