"""Two real processes on CPU (gloo): metrics are those of the whole batch, and the main job runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATHS = [str(ROOT / folder) for folder in ("src", ".", "scripts/demo_policy")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS), "OMP_NUM_THREADS": "1"}


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env={**ENVIRONMENT, **environment}, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def test_metrics_are_those_of_the_whole_batch(tmp_path):
    for world in ("1", "2"):
        run(
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node",
            world,
            "tests/integration/two_processes.py",
            str(tmp_path),
        )
    whole, first, second = (json.loads((tmp_path / f"logs-{name}.json").read_text()) for name in ("1-0", "2-0", "2-1"))
    assert first == second
    assert len(whole) >= 6
    padding = {
        "update/computed_tokens_ratio",
        "update/padding_removed_ratio",
    }  # of shares that are padded by themselves
    assert first.keys() - padding == whole.keys() - padding
    for name in whole.keys() - padding:
        assert first[name] == pytest.approx(whole[name], rel=1e-5), name


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("zero3", marks=pytest.mark.slow)])
def test_a_process_without_a_live_row_keeps_up(tmp_path, strategy):
    """No hang, and loss, gradient norm and weights of stock TRL."""
    shown = run(
        "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "tests/integration/dead_rank.py", str(tmp_path), strategy,
        DS_ACCELERATOR="cpu",
    )  # fmt: skip
    assert all(f"{strategy}: process {rank} of 2 agrees" in shown for rank in (0, 1))


def test_the_main_job_on_two_processes(tmp_path):
    shown = run(
        "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
        "train.py", "--config", "configs/train/quickstart.yaml", "--max_steps", "2", "--logging_steps", "1",
        "--num_demo_rows", "32", "--max_validation_rows", "4", "--per_device_train_batch_size", "8", "--save_steps", "2",
        "--max_completion_length", "24", "--output_dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert shown.count("step    2/2") == 1
    assert "report: skipped, it runs on one process" in shown
    log = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    assert sum(value for name, value in log[0].items() if name.startswith("reason/")) == pytest.approx(1.0)
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_ctrl_c_stops_both_at_the_same_step(tmp_path):
    """As a terminal does: the signal reaches the launcher and every process."""
    output = tmp_path / "run"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
        "train.py", "--config", "quickstart", "--max_steps", "500", "--logging_steps", "1", "--save_strategy", "no",
        "--num_demo_rows", "32", "--max_validation_rows", "4", "--per_device_train_batch_size", "8",
        "--max_completion_length", "8", "--output_dir", str(output),
    ]  # fmt: skip
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 300
        while not ((output / "log.jsonl").exists() and (output / "log.jsonl").read_text()):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        shown, errors = process.communicate(timeout=180)
    assert process.returncode != 0
    assert "training stops after this step" in shown
    assert "--resume_from_checkpoint true" in errors
    steps = json.loads((output / "trainer_state.json").read_text())["global_step"]
    assert 1 <= steps < 500
    assert {path.name for path in output.glob("checkpoint-*")} == {f"checkpoint-{steps}"}
    assert len(list((output / f"checkpoint-{steps}").glob("rng_state_*.pth"))) == 2  # both processes saved it
    assert (output / "model.safetensors").exists()
