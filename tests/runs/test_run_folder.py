"""An output folder belongs to one run."""

import json

import pytest
from datasets import Dataset

from egpo_trl.cli import main
from egpo_trl.data.loading import load_rows
from egpo_trl.demo.world import make_rows
from egpo_trl.runs.run_folder import check_run_folder, describe_run, digest_of_rows, remove_run

SHORT = [
    "train", "--config", "quickstart", "--max_steps", "1", "--logging_steps", "1", "--save_steps", "1", "--report", "false",
    "--per_device_train_batch_size", "16", "--max_completion_length", "8", "--max_validation_rows", "4",
]  # fmt: skip


def test_rows_tell_runs_apart():
    rows = Dataset.from_list(make_rows(8))
    assert digest_of_rows(rows) == digest_of_rows(Dataset.from_list(make_rows(8)))
    assert digest_of_rows(rows) != digest_of_rows(rows.select(range(7)))
    run = describe_run("train", rows, "demo")
    assert run.identity == describe_run("train", rows, None).identity
    assert run.identity != describe_run("train", rows, "demo-multiturn").identity
    assert run.identity != describe_run("sft", rows, "demo").identity


def test_training_into_the_folder_of_another_run(tmp_path, capsys):
    output = tmp_path / "run"
    here = ["--output_dir", str(output)]
    main([*SHORT, *here, "--num_demo_rows", "32"])
    log = (output / "log.jsonl").read_text()
    held_out = load_rows(str(output / "held_out.jsonl"))
    assert held_out["id"] == [row["id"] for row in make_rows(4, split="test")]
    for words, message in (
        (["--num_demo_rows", "40"], "the rows differ"),
        (["--num_demo_rows", "40", "--resume_from_checkpoint", "true"], "the rows differ"),
        (["--num_demo_rows", "32", "--model_name_or_path", "demo-multiturn"], "the model differs"),
        (["--num_demo_rows", "32", "--learning_rate", "1"], r"learning_rate was 0\.0001, now 1\.0"),
        (
            ["--num_demo_rows", "40", "--resume_from_checkpoint", str(output / "checkpoint-1")],
            "belongs to another run",
        ),
    ):
        with pytest.raises(SystemExit, match=message) as ended:
            main([*SHORT, *here, *words])
        assert ended.value.code == 1
        assert (output / "log.jsonl").read_text() == log
    with pytest.raises(SystemExit, match="the command differs"):
        main(["sft", "--config", "quickstart", *here, "--num_demo_rows", "32"])
    with pytest.raises(SystemExit, match="overwrite_run: true to remove"):
        main([*SHORT, *here, "--num_demo_rows", "40"])
    main([*SHORT, *here, "--num_demo_rows", "40", "--overwrite_run", "true"])
    assert json.loads((output / "run_config.json").read_text())["fields"]["num_demo_rows"] == 40


def test_what_is_not_a_run_stays(tmp_path):
    rows = Dataset.from_list(make_rows(2))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "checkpoint-x").mkdir()
    (tmp_path / "log.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="lacks a record of its rows"):
        check_run_folder(tmp_path, describe_run("train", rows, "demo"), None, False)
    remove_run(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-x", "notes.txt"]
