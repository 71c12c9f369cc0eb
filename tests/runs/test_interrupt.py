"""Ctrl-C ends training after the step, saved, and the run continues."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from egpo_trl.cli import main
from egpo_trl.runs.interrupt import InterruptCallback, Interrupted

RUN = [
    "train", "--config", "quickstart", "--logging_steps", "1", "--save_strategy", "no", "--report", "false",
    "--per_device_train_batch_size", "16", "--max_completion_length", "8", "--max_validation_rows", "4",
    "--num_demo_rows", "32",
]  # fmt: skip


def test_ctrl_c_stops_after_the_step_and_the_run_continues(tmp_path):
    output = tmp_path / "run"
    words = [*RUN, "--output_dir", str(output), "--max_steps", "500"]
    with subprocess.Popen(
        [sys.executable, "-m", "egpo_trl.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + 240
        while not ((output / "log.jsonl").exists() and (output / "log.jsonl").read_text()):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        shown, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "training stops after this step" in shown
    assert "--resume_from_checkpoint true" in errors
    assert "Traceback" not in errors
    steps = json.loads((output / "trainer_state.json").read_text())["global_step"]
    assert 1 <= steps < 500
    for name in (f"checkpoint-{steps}", "model.safetensors", "report.html", "learning_curves.png"):
        assert (output / name).exists()
    main([*RUN, "--output_dir", str(output), "--max_steps", str(steps + 1), "--resume_from_checkpoint", "true"])
    assert json.loads((output / "trainer_state.json").read_text())["global_step"] == steps + 1


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    callback = InterruptCallback()
    before = signal.getsignal(signal.SIGINT)
    with callback.listening():
        signal.raise_signal(signal.SIGINT)
        assert callback.was_asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(Interrupted, match="To continue"):
        callback.raise_if_asked("here", tmp_path)
