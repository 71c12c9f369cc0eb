"""Trackers through the standard `report_to`, with the table of completions and their reasons, and without a network."""

import importlib.util
import logging
import socket
import sys

import pandas as pd
import pytest

from egpo_trl import ToolCallReward
from egpo_trl.rewards.tool_call import REASONS
from tests.tiny import tool_rows, train

SHOWN = {
    "train/reward",
    "train/egpo/answer_entropy",
    "train/egpo/no_cot_ratio",
    "train/reason/correct",
    "train/entropy",
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Connections to other machines fail, as they do without a network."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    connect = socket.socket.connect

    def refuse(self, address):
        if self.family == socket.AF_UNIX or (
            isinstance(address, tuple) and address[0] in ("127.0.0.1", "localhost", "::1")
        ):
            return connect(self, address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def run(folder, tokenizer, tracker):
    train(
        folder, tokenizer, dataset=tool_rows(), reward=ToolCallReward(), report_to=tracker, log_completions=True,
        num_completions_to_print=1, run_name="run", drop_zero_advantages="never",  # nothing is right here
    )  # fmt: skip
    tables = sorted((folder / "completions").glob("*.parquet"))
    assert len(tables) == 2
    table = pd.read_parquet(tables[0])
    assert set(table["reason"]) <= set(REASONS)
    assert {"step", "prompt", "completion", "tool_call_reward", "reason", "advantage"} <= set(table.columns)
    assert len(table) == 8


def test_tensorboard(tmp_path, tiny_tokenizer, monkeypatch, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    run(tmp_path / "run", tiny_tokenizer, "tensorboard")
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    tags = set(events.Tags()["scalars"])
    assert tags >= SHOWN
    assert {f"train/reason/{reason}" for reason in REASONS} <= tags
    assert [point.step for point in events.Scalars("train/egpo/answer_entropy")] == [1, 2]
    assert "reason" in capsys.readouterr().out  # TRL's table of completions has our column


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="needs egpo-trl[trackers]")
def test_wandb_offline(tmp_path, tiny_tokenizer, monkeypatch):
    import wandb

    for name, value in (("WANDB_MODE", "offline"), ("WANDB_DIR", str(tmp_path)), ("WANDB_SILENT", "true")):
        monkeypatch.setenv(name, value)
    logged: list[str] = []
    try:
        run(tmp_path / "run", tiny_tokenizer, "wandb")
        logged = list(wandb.run.summary.keys())
    finally:
        wandb.finish()
    assert {*SHOWN, "completions"} <= set(logged)
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))


@pytest.mark.skipif(importlib.util.find_spec("trackio") is None, reason="needs egpo-trl[trackers]")
def test_trackio_local(tmp_path, tiny_tokenizer, monkeypatch):
    for name, module in list(sys.modules.items()):  # TRACKIO_DIR is read when TRL imports trackio
        if name.startswith("trackio") and hasattr(module, "TRACKIO_DIR"):
            monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio")
    run(tmp_path / "run", tiny_tokenizer, "trackio")
    assert [path for path in (tmp_path / "trackio").rglob("*") if path.is_file() and path.stat().st_size]


def test_held_out_scores_and_rollouts_in_tensorboard(tmp_path, monkeypatch):
    """Through the command: eval/… before, during and after, and the rollouts as text."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from egpo_trl.cli import main

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    words = {
        "max_steps": 2, "report_steps": 1, "num_demo_rows": 32, "max_validation_rows": 4, "per_device_train_batch_size": 8,
        "num_generations": 4, "max_completion_length": 24, "gradient_accumulation_steps": 1, "use_cpu": "true",
        "bf16": "false", "gradient_checkpointing": "false", "logging_steps": 1, "report_to": "tensorboard",
        "output_dir": str(tmp_path / "run"),
    }  # fmt: skip
    main(["train", *(word for name, value in words.items() for word in (f"--{name}", str(value)))])
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    for decoding in ("greedy", "sampled"):
        assert [point.step for point in events.Scalars(f"eval/exact_match/{decoding}")] == [0, 1, 2]
    (tag,) = [tag for tag in events.Tags()["tensors"] if tag.startswith("rollouts")]
    text = events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
    assert text.startswith("| reason | reward | request | completion |")
    assert len(text.splitlines()) == 2 + 8


@pytest.mark.parametrize(("named", "project"), [(None, "egpo-trl"), ("mine", "mine")])
def test_trackers_get_the_name_of_the_project(tmp_path, monkeypatch, named, project):
    import os

    from tests.tiny import config

    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    args = config(tmp_path, report_to="wandb", **({} if named is None else {"project": named}))
    assert args.project == os.environ["WANDB_PROJECT"] == project
