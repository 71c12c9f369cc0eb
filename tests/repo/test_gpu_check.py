"""`make gpu-check` on a machine without GPUs: its commands parse, name files that exist, and it says what is missing."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from trl import ModelConfig

from benchmarks.gpu_check import PeakMemory, commands, planned_gb
from egpo_trl import EGPOConfig
from egpo_trl.cli.parsing import CommandParser
from egpo_trl.runs import launch_checks
from egpo_trl.runs.launch_checks import Launch, check_launch
from egpo_trl.runs.script_arguments import EGPOScriptArguments

ROOT = Path(__file__).parents[2]
ALL = commands(gpus=2, has_vllm=True)


@pytest.mark.parametrize("name", ALL)
def test_commands_parse_and_pass_the_launch_checks(name, monkeypatch):
    monkeypatch.setattr(launch_checks, "is_installed", lambda package: True)  # as on the machine with GPUs
    words = ALL[name].split()
    engine = Path(words[words.index("--config_file") + 1])
    assert (ROOT / engine).is_file()
    fields = words[words.index("train.py") + 1 :]
    fields[fields.index("--config") + 1] = str(ROOT / fields[fields.index("--config") + 1])
    parser = CommandParser((EGPOScriptArguments, EGPOConfig, ModelConfig))
    _, args, model_args, *_ = parser.parse_args_and_config([*fields, "--use_cpu", "true"])
    launch = Launch(engine.stem.replace("_offload", "").replace("fsdp2", "fsdp"), int(words[5]), (8, 0))
    assert all("reference of the KL term" in warning for warning in check_launch(args, model_args, launch))


def test_the_plan_of_a_command():
    """The embedded policy: its states are counted, and the larger of training and generating is the rest."""
    assert 0.01 < planned_gb(ALL["single"], 80) < 1
    assert planned_gb(ALL["ddp"], 80) >= planned_gb(ALL["single"], 80)


def test_the_peak_is_above_what_was_taken_before():
    taken = [5]
    with PeakMemory(lambda: taken[0], seconds=0.01) as peak:
        for taken[0] in (9, 30, 7):
            time.sleep(0.1)
    assert peak.bytes == 25


def test_one_gpu_and_no_vllm():
    assert set(commands(gpus=1, has_vllm=False)) == {"single", "QLoRA"}
    assert len({command.split()[-1] for command in ALL.values()}) == len(ALL)


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without GPUs")
def test_no_gpu():
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "gpu_check.py"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "no GPU here" in done.stderr
