"""`benchmarks/real_model.py`: its stages parse, take turns, run on a tiny model, and are left out once they are done."""

import csv
import json

import pytest
from trl import ModelConfig, SFTConfig, TrlParser

from benchmarks import real_model
from egpo_trl import EGPOConfig
from egpo_trl.runs.script_arguments import EGPOScriptArguments
from egpo_trl.runs.sft import SFTScriptArguments
from tests.repo.test_configs import tiny_copy

TOOLS = [
    {
        "api_name": name, "api_description": "Does it.", "field": "Home", "required": ["room"], "responses": {},
        "parameters": {"room": {"type": "str", "description": "Room."}, "level": {"type": "int", "description": "Level."}},
    }
    for name in ("setLight", "setHeat", "getHeat", "openDoor")
]  # fmt: skip


@pytest.fixture
def data(tmp_path):
    """Four records of one call in each file, and one of two."""
    folder = tmp_path / "seal_tools"
    folder.mkdir()
    (folder / "tool.jsonl").write_text("".join(json.dumps(tool) + "\n" for tool in TOOLS))
    call = {"api": "setLight", "parameters": {"room": "hall", "level": "40"}, "responses": []}
    for name in real_model.FILES.values():
        kinds = [("easy", [call])] * 4 + [("difficult", [call, call])]
        records = [
            {"id": f"{name}-{kind}-{number}", "query": f"{name} {number}: set the hall to 40", "calling": calls}
            for number, (kind, calls) in enumerate(kinds)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def made(tmp_path, data, steps=None, seeds=(0, 1)):
    return list(real_model.stages(data, tmp_path / "model", tmp_path / "out", seeds, steps, 1))


def test_arms_take_turns(tmp_path, data):
    trained = [stage.name for stage in made(tmp_path, data) if stage.command[0] in ("sft", "train")]
    assert trained == ["sft", "egpo-0", "grpo-0", "egpo-1", "grpo-1", "sft_both"]


def test_arms_differ_in_lambda_only(tmp_path, data):
    parser = TrlParser((EGPOScriptArguments, EGPOConfig, ModelConfig))
    found = {}
    for stage in made(tmp_path, data):
        if stage.command[0] == "train":
            _, args, _ = parser.parse_args_and_config(stage.command[1:])
            found[stage.name] = {key: value for key, value in args.to_dict().items() if "_dir" not in key}
    assert found["egpo-0"].pop("egpo_lambda") == 0.4
    assert found["grpo-0"].pop("egpo_lambda") == 0
    assert found["egpo-0"] == found["grpo-0"]
    assert found["egpo-1"]["seed"] == 1


def test_both_sft_runs_are_the_recipe(tmp_path, data):
    parser = TrlParser((SFTScriptArguments, SFTConfig, ModelConfig))
    for stage in made(tmp_path, data):
        if stage.command[0] == "sft":
            script, _, _ = parser.parse_args_and_config(stage.command[1:])
            assert script.write_thoughts


def test_rows_that_are_sometimes_right(tmp_path):
    rows, scores, target = (tmp_path / f"{name}.jsonl" for name in ("rows", "scores", "live"))
    reached = {"never": [0, 0], "sometimes": [0, 1], "always": [1, 1]}
    real_model.write_lines(rows, (json.dumps({"id": name}) for name in reached))
    real_model.write_lines(scores, (json.dumps({"id": n, "score": s}) for n, all_ in reached.items() for s in all_))
    real_model.keep_sometimes_right(rows, scores, target)
    assert [row["id"] for row in real_model.read_lines(target)] == ["sometimes"]


@pytest.mark.slow
def test_all_stages(tmp_path, data, monkeypatch, capsys):
    """One step each; no rollout of random weights is right, so that the row that is trained on is chosen here."""
    tiny_copy("runs/smollm2/sft", tmp_path / "model")
    monkeypatch.setattr(
        real_model, "keep_sometimes_right", lambda rows, scores, target: real_model.join([rows], target)
    )
    words = [
        "--data", str(data), "--model", str(tmp_path / "model"), "--output_dir", str(tmp_path / "out"),
        "--seeds", "0", "--steps", "1", "--per_category", "1", "--results", str(tmp_path / "results"),
    ]  # fmt: skip
    real_model.main(["run", *words])
    real_model.main(["status", *words])
    assert "to do" not in capsys.readouterr().out
    costs = (tmp_path / "out" / real_model.COSTS).read_text()
    real_model.main(["run", *words])
    assert (tmp_path / "out" / real_model.COSTS).read_text() == costs
    real_model.main(["collect", *words])
    with (tmp_path / "results" / "summaries.csv").open() as file:
        summaries = list(csv.DictReader(file))
    assert {row["policy"] for row in summaries} == {"base", "sft", "egpo-0", "grpo-0", "sft_both"}
    assert {row["evaluation"] for row in summaries} == {"greedy", "sampled", "rl_rows", "bfcl"}
    with (tmp_path / "results" / "curves.csv").open() as file:
        assert {row["run"] for row in csv.DictReader(file)} == {"egpo-0", "grpo-0"}  # SFT logs every fifth step


def test_the_table_of_the_page(capsys):
    """`docs/real_model.md` shows what the CSV says."""
    real_model.main(["table"])
    page = (real_model.REPOSITORY / "docs" / "real_model.md").read_text()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 4
    assert [line for line in lines if line not in page] == []
