"""BFCL while a model is trained: what is logged and written, and that training does not notice."""

import json
import logging

import pytest

from egpo_trl.cli import train
from egpo_trl.evaluation.bfcl.callback import BFCLCallback
from egpo_trl.reports.glossary import meaning_of

CATEGORIES = ("simple_python", "live_relevance", "irrelevance")


def run(folder, *options):
    train([
        "--output_dir", str(folder), "--num_demo_rows", "16", "--max_validation_rows", "4", "--report", "false", "--max_steps", "3",
        "--per_device_train_batch_size", "4", "--num_generations", "4", "--max_completion_length", "24", "--logging_steps", "1",
        "--use_cpu", "true", "--bf16", "false", "--report_to", "none", "--save_strategy", "no", *options,
    ])  # fmt: skip
    return json.loads((folder / "trainer_state.json").read_text())["log_history"]


def test_training_is_the_same_with_it(tmp_path):
    options = [
        "--bfcl_eval_steps",
        "2",
        "--bfcl_eval_categories",
        ",".join(CATEGORIES),
        "--bfcl_eval_max_per_category",
        "2",
    ]
    log = run(tmp_path / "with", *options)
    plain = run(tmp_path / "without")
    scores = {entry["step"]: entry for entry in log if "eval_bfcl/mean" in entry}
    assert sorted(scores) == [0, 2, 3]  # before, every second step, and at the end
    for step, entry in scores.items():
        logged = {name: value for name, value in entry.items() if name.startswith("eval_bfcl/")}
        assert logged.keys() == {f"eval_bfcl/{name}" for name in (*CATEGORIES, "mean", "strict")}
        assert logged["eval_bfcl/mean"] == pytest.approx(sum(logged[f"eval_bfcl/{name}"] for name in CATEGORIES) / 3)
        folder = tmp_path / "with" / "bfcl" / f"step-{step}"
        summary = json.loads((folder / "summary.json").read_text())
        assert [row["n"] for row in summary["rows"]] == [2, 2, 2]
        assert len((folder / "scores.jsonl").read_text().splitlines()) == 6
    timed = {"step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second"}
    steps = [{k: v for k, v in entry.items() if k not in timed} for entry in log if "eval_bfcl/mean" not in entry]
    assert steps == [{k: v for k, v in entry.items() if k not in timed} for entry in plain]
    assert "fixed subset of BFCL" in meaning_of("eval_bfcl/simple_python")


def test_what_is_wrong_is_said_before_training(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="categories: 'simple' is unknown"):
        run(tmp_path, "--bfcl_eval_steps", "2", "--bfcl_eval_categories", "simple")
    with pytest.raises(ValueError, match="every_steps must be at least 1"):
        BFCLCallback(0, print)

    def missing():
        raise ValueError("BFCL needs bfcl_eval")

    monkeypatch.setattr("egpo_trl.evaluation.bfcl.package.package_folder", missing)
    with pytest.raises(ValueError, match="BFCL needs bfcl_eval"):
        BFCLCallback(1, print)


def test_an_evaluation_that_fails_is_a_warning(tmp_path, monkeypatch, caplog):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("egpo_trl.evaluation.bfcl.callback.evaluate", fail)
    with caplog.at_level(logging.WARNING, logger="egpo_trl"):
        log = run(tmp_path, "--bfcl_eval_steps", "2", "--bfcl_eval_max_per_category", "1")
    assert [record.getMessage() for record in caplog.records if "BFCL" in record.getMessage()] == [
        f"step {step} is not evaluated on BFCL: disk full" for step in (0, 2, 3)
    ]
    assert log[-1]["step"] == 3
