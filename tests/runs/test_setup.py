"""Rows of a run: held out, too long, and what is checked before a model is loaded."""

import json
from pathlib import Path

import pytest
from datasets import Dataset
from trl import ModelConfig

from egpo_trl.cli import main
from egpo_trl.data.loading import load_rows
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows
from egpo_trl.runs.held_out import few_rows_warning
from egpo_trl.runs.launch_checks import check_packages
from egpo_trl.runs.script_arguments import EGPOScriptArguments
from egpo_trl.runs.setup import check_before_loading, prepare_rows
from egpo_trl.runs.training import _choose_best_by_reward
from tests.tiny import config

TRAIN = [
    "train", "--config", "quickstart", "--max_steps", "1", "--logging_steps", "1", "--report", "false",
    "--per_device_train_batch_size", "16", "--max_completion_length", "8", "--save_strategy", "no",
]  # fmt: skip


@pytest.fixture
def rows_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Dataset.from_list(make_rows(60)).to_json("rows.jsonl")
    return Path("rows.jsonl")


def test_split_train_and_evaluate_on_exactly_the_held_out_rows(rows_file, capsys):
    main(["split", "--dataset_name", "rows.jsonl", "--validation_share", "0.2", "--output_dir", "parts"])
    shown = capsys.readouterr().out
    train, held_out = load_rows("parts/train.jsonl"), load_rows("parts/held_out.jsonl")
    assert f"{len(train)} rows: parts/train.jsonl" in shown
    assert f"note: {len(held_out)} held-out rows are few" in shown
    assert sorted([*train["id"], *held_out["id"]]) == sorted(load_rows("rows.jsonl")["id"])
    assert not set(map(repr, train["prompt"])) & set(map(repr, held_out["prompt"]))
    own = ["--dataset_name", "parts/train.jsonl", "--validation_dataset_name", "parts/held_out.jsonl"]
    main([*TRAIN, *own, "--prompt_style", "paper", "--output_dir", "run"])
    assert load_rows("run/held_out.jsonl")["prompt"] == held_out["prompt"]  # as they were given
    main(["evaluate", "rows", "--model", "run", "--dataset_name", "run/held_out.jsonl", "--max_completion_length", "4",
          "--output_dir", "evaluation"])  # fmt: skip
    asked = [json.loads(line)["id"] for line in Path("evaluation/scores.jsonl").read_text().splitlines()]
    assert sorted(asked) == sorted(held_out["id"])


def test_held_out_rows_that_are_trained_on_are_refused(rows_file):
    with pytest.raises(SystemExit, match="60 of 60 held-out rows have a prompt that is trained on"):
        main(
            [*TRAIN, "--dataset_name", "rows.jsonl", "--validation_dataset_name", "rows.jsonl", "--output_dir", "run"]
        )


def test_few_rows():
    assert few_rows_warning(50) == []
    assert "one row more or less is 10 points" in few_rows_warning(10)[0]


def test_rows_that_are_too_long_are_named_and_can_be_left_out(tmp_path, rows_file):
    rows = make_rows(60)
    for index in (7, 11):
        rows[index]["prompt"][-1]["content"] += " please" * 1200
    Dataset.from_list(rows).to_json("long.jsonl")
    script = EGPOScriptArguments(dataset_name="long.jsonl")
    args = config(tmp_path / "run")
    model = ModelConfig(model_name_or_path=str(demo_policy_path()))
    prepared = prepare_rows(script, args)
    held_out = set(prepared.held_out["id"])
    long = [rows[index]["id"] for index in (7, 11) if rows[index]["id"] not in held_out]
    with pytest.raises(ValueError, match=rf"{len(long)} of {60 - len(held_out)} rows \({long[0]}.*Set drop_long_rows"):
        check_before_loading(script, args, model, prepared)
    script.drop_long_rows = True
    kept, notes = check_before_loading(script, args, model, prepared)
    assert set(prepared.train["id"]) - set(kept.train["id"]) == set(long)
    assert any("they are left out" in note for note in notes)


@pytest.mark.parametrize(("option", "value"), [("multi_turn", "stepwise"), ("environments", ["ticket_desk"])])
def test_options_of_trajectories_without_one(option, value, tmp_path):
    with pytest.raises(ValueError, match=f"{option} does nothing here: the rows lack the column `trajectory`"):
        prepare_rows(EGPOScriptArguments(num_demo_rows=8, **{option: value}), config(tmp_path))


def test_the_best_model_is_that_of_the_held_out_reward(tmp_path):
    options = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 1, "save_steps": 1}
    args = config(tmp_path, load_best_model_at_end=True, **options)
    assert args.metric_for_best_model == "loss"
    assert "eval_reward" in _choose_best_by_reward(args)[0]
    assert (args.metric_for_best_model, args.greater_is_better) == ("eval_reward", True)
    own = config(tmp_path, load_best_model_at_end=True, metric_for_best_model="eval_egpo/bonus", **options)
    assert _choose_best_by_reward(own) == []
    assert own.metric_for_best_model == "eval_egpo/bonus"
    assert _choose_best_by_reward(config(tmp_path)) == []


PACKAGES = [
    ({"use_vllm": True}, {}, "vllm", r"egpo-trl\[vllm\]"),
    ({"report_to": ["wandb"]}, {}, "wandb", r"egpo-trl\[trackers\]"),
    ({"report_to": ["tensorboard"]}, {}, "tensorboard", r"egpo-trl\[trackers\]"),
    ({"report_to": ["mlflow"]}, {}, "mlflow", "pip install mlflow"),
    ({"optim": "adamw_8bit"}, {}, "bitsandbytes", r"egpo-trl\[quantization\]"),
    ({"optim": "paged_adamw_8bit"}, {}, "bitsandbytes", r"egpo-trl\[quantization\]"),
    ({"optim": "adamw_torch_8bit"}, {}, "torchao", "pip install torchao"),
    ({}, {"load_in_4bit": True}, "bitsandbytes", r"egpo-trl\[quantization\]"),
    ({}, {"load_in_8bit": True}, "bitsandbytes", r"egpo-trl\[quantization\]"),
]


@pytest.mark.parametrize(("fields", "model", "package", "remedy"), PACKAGES)
def test_a_missing_package_is_named_with_the_remedy(fields, model, package, remedy, tmp_path, monkeypatch):
    from egpo_trl.runs import launch_checks

    args, model_args = config(tmp_path), ModelConfig(**model)
    for name, value in fields.items():
        setattr(args, name, value)
    monkeypatch.setattr(launch_checks, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(
        ValueError, match=rf"needs the package {package}, which is missing: pip install .*{remedy.split()[-1]}"
    ):
        check_packages(args, model_args)
    monkeypatch.setattr(launch_checks, "find_spec", lambda name: object())
    check_packages(args, model_args)
