"""The recipes for vLLM as they stand, with only the model, the device and the lengths replaced."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.test_two_processes import ENVIRONMENT, ROOT

RECIPES = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted((ROOT / "configs" / "train").glob("*.yaml"))
    if yaml.safe_load(path.read_text()).get("use_vllm")
}
COLOCATED = [name for name, recipe in RECIPES.items() if recipe["vllm_mode"] == "colocate"]


def test_there_are_recipes():
    assert len(RECIPES) >= 2
    assert COLOCATED


@pytest.mark.parametrize("name", COLOCATED)
def test_a_recipe_for_vllm_in_the_trainers_process_starts(name, tmp_path):
    """Under the engine that it names, which is DeepSpeed on one process here; its batch and its optimizer are its own."""
    replaced = ["--model_name_or_path", "demo", "--dataset_name", "demo", "--output_dir", str(tmp_path)]
    lengths = ["--max_completion_length", "64", "--vllm_max_model_length", "512", "--max_steps", "2",
               "--num_demo_rows", "64", "--max_validation_rows", "4"]  # fmt: skip
    device = ["--use_cpu", "false", "--ddp_backend", "gloo", "--bf16", "false", "--dtype", "float32",
              "--vllm_gpu_memory_utilization", "0.1"]  # fmt: skip
    done = subprocess.run(
        [
            sys.executable, "-m", "accelerate.commands.launch", "--config_file", "configs/accelerate/zero3.yaml",
            "--num_processes", "1", "--mixed_precision", "no", "--main_process_port", "0",
            "tests/vllm/launch.py", "--config", f"configs/train/{name}.yaml", *replaced, *lengths, *device,
        ],
        cwd=ROOT, env={**ENVIRONMENT, "DS_ACCELERATOR": "cpu"}, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    logs = [
        log for log in json.loads((Path(tmp_path) / "trainer_state.json").read_text())["log_history"] if "loss" in log
    ]
    assert [log["step"] for log in logs] == [1, 2]
    assert all(log["sampling/sampling_logp_difference/mean"] < 0.01 for log in logs)
