"""Two real processes on CPU (gloo) under each shipped engine: they run, equal one process, save and resume.

`docs/tested.md` shows the results as a table; `-k "resumes and zero3"` selects one cell of it.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from egpo_trl.demo.policy import demo_policy_path
from tests.integration import engines
from tests.integration.test_two_processes import ENVIRONMENT as PLAIN_ENVIRONMENT
from tests.integration.test_two_processes import ROOT

ENVIRONMENT = {**PLAIN_ENVIRONMENT, "DS_ACCELERATOR": "cpu", "TRL_EXPERIMENTAL_SILENCE": "1"}
KINDS = {
    "ddp": "MULTI_CPU", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED", "zero3_offload": "DEEPSPEED", "fsdp2": "FSDP",
}  # fmt: skip
SLOW = [pytest.param(engine, marks=pytest.mark.slow) for engine in KINDS]
ENGINES = ["ddp", *SLOW[1:]]  # one smoke test of a launch stays in the fast suite
SAME = ["loss", "grad_norm", "reward", "frac_reward_zero_std", "completions/mean_length", "num_tokens"]


def run(*command: str, seconds: float = 300) -> str:
    """Run Python; a hang ends with the whole process group, in bounded time and with a message."""
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=ENVIRONMENT, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        shown, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        shown, _ = process.communicate()
        pytest.fail(f"hung: no end after {seconds} s. Last output:\n{shown[-4000:]}")
    assert process.returncode == 0, shown[-6000:]
    return shown


def launch(engine: str, folder: Path, *options: str) -> str:
    """`accelerate launch` of two processes with a shipped config, in float32."""
    config = f"configs/accelerate/{engine}.yaml"
    overrides = ["--num_processes", "2", "--mixed_precision", "no", "--main_process_port", "0"]
    return run(
        "-m", "accelerate.commands.launch", "--config_file", config, *overrides,
        "tests/integration/engines.py", str(folder), *options,
    )  # fmt: skip


def read_logs(folder: Path, name: str, rank: int = 0) -> dict:
    return json.loads((folder / f"logs-{name}-{rank}.json").read_text())


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """Folder of the run on one process."""
    folder = tmp_path_factory.mktemp("single")
    engines.train(folder)
    return folder


@pytest.fixture(scope="module")
def single_sampling(tmp_path_factory):
    """The same with dynamic sampling."""
    folder = tmp_path_factory.mktemp("single_sampling")
    engines.train(folder, mode="sampling")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of an engine's uninterrupted run in a mode, launched on first use."""
    folders: dict[tuple[str, str], Path] = {}

    def folder_of(engine: str, mode: str = "main") -> Path:
        if (engine, mode) not in folders:
            folders[engine, mode] = tmp_path_factory.mktemp(f"{engine}_{mode}")
            launch(engine, folders[engine, mode], "--mode", mode)
        return folders[engine, mode]

    return folder_of


def test_a_hang_fails_in_bounded_time_with_a_message():
    with pytest.raises(pytest.fail.Exception, match=r"hung: no end after 2 s(.|\n)*before the hang"):
        run("-uc", "print('before the hang'); import time; time.sleep(60)", seconds=2)


@pytest.mark.slow
@pytest.mark.parametrize("engine", KINDS)
def test_a_process_that_hangs_ends_the_run(engine, tmp_path):
    """`ddp_timeout` bounds the wait of the others, under every engine; nothing is left running."""
    with pytest.raises(AssertionError, match=r"(?i)timed out"):
        launch(engine, tmp_path, "--mode", "hang")


# What is left out of a forward pass depends on the share of a process, the gradient does not.
WORK = {
    "update/padding_removed_ratio",
    "update/computed_tokens_ratio",
    "update/dropped_rows_ratio",
    "update/extra_sampling_time",
}


def assert_metrics_equal(folder: Path, expected: Path) -> None:
    """Metrics of both processes against each other and against one process."""
    first, second, one = read_logs(folder, "final"), read_logs(folder, "final", 1), read_logs(expected, "final")
    assert len(one["logs"]) == len(first["logs"]) == engines.STEPS
    for log, other, expected_log in zip(first["logs"], second["logs"], one["logs"], strict=True):
        ours = {name for name in expected_log if name.startswith("egpo/")} - WORK
        for name in [name for name in [*SAME, *sorted(ours)] if name in expected_log]:
            assert log[name] == pytest.approx(expected_log[name], rel=1e-4, abs=1e-5), name
            assert log[name] == other[name], name


def assert_weights_equal(folder: Path, expected: Path) -> None:
    """Weights within a twentieth of the distance that training moved them."""
    saved, whole, start = weights(folder / "final"), weights(expected / "final"), weights(demo_policy_path())
    assert saved.keys() == whole.keys()
    moved = max((whole[name] - start[name]).abs().max() for name in whole)
    apart = max((whole[name] - saved[name]).abs().max() for name in whole)
    assert moved > 1e-4
    assert apart < 0.05 * moved


@pytest.mark.parametrize("engine", ENGINES)
def test_equals_one_process(engine, single, trained):
    """Also with unequal lengths, no CoT, or groups without variance on one process only."""
    found, one = read_logs(trained(engine), "final"), read_logs(single, "final")
    assert (found["engine"], found["processes"]) == (f"DistributedType.{KINDS[engine]}", 2)
    assert [log["frac_reward_zero_std"] for log in one["logs"]] == [0.0, 0.5, 0.5, 0.5]
    assert [log["egpo/no_cot_ratio"] for log in one["logs"]] == [0.0, 0.0, 0.5, 0.5]
    assert_metrics_equal(trained(engine), single)


@pytest.mark.parametrize("engine", ENGINES)
def test_dynamic_sampling_equals_one_process(engine, single_sampling, trained):
    """Groups without variance are replaced by the same ones, wherever they were sampled, with old log-probabilities."""
    logs = read_logs(single_sampling, "final")["logs"]
    assert [log["update/sampling_rounds"] for log in logs if "update/sampling_rounds" in log] == [4.0, 3.0]
    assert_metrics_equal(trained(engine, "sampling"), single_sampling)
    assert_weights_equal(trained(engine, "sampling"), single_sampling)


@pytest.mark.parametrize("engine", ENGINES)
def test_saves_a_loadable_model(engine, single, trained):
    assert_weights_equal(trained(engine), single)
    assert AutoTokenizer.from_pretrained(trained(engine) / "final").chat_template


@pytest.mark.parametrize("mode", ["main", "sampling"])
@pytest.mark.parametrize("engine", SLOW)
def test_resumes(engine, mode, trained):
    folder = trained(engine, mode)
    launch(engine, folder, "--resume", "--mode", mode)
    logs, resumed = read_logs(folder, "final")["logs"], read_logs(folder, "resumed")["logs"]
    assert len(resumed) == engines.STEPS
    # With DeepSpeed's CPU Adam a resumed run was a rounding (1.2e-7) apart; two uninterrupted ones were bit-equal.
    relative, absolute = (1e-4, 5e-7) if engine == "zero3_offload" else (1e-6, 1e-7)
    for log, expected in zip(resumed, logs, strict=True):
        assert log["loss"] == pytest.approx(expected["loss"], rel=relative)
    saved, expected = weights(folder / "resumed"), weights(folder / "final")
    assert all(torch.allclose(saved[name], expected[name], rtol=0, atol=absolute) for name in expected)


@pytest.mark.parametrize("engine", SLOW)
def test_runs_the_main_job(engine, tmp_path):
    """`egpo-trl train` of the quickstart recipe, with completions sampled from the sharded policy."""
    shown = launch(engine, tmp_path, "--job")
    assert "step    2/2" in shown
    logs = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    assert [log["step"] for log in logs if "loss" in log] == [1, 2]
    weights(tmp_path)
