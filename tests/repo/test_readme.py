"""What the README says can be done: its commands run, its Python runs. Links and flags: see test_docs."""

import json
import logging
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

from egpo_trl.cli import main
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def command_lines() -> list[list[str]]:
    lines = [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()]
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def test_the_two_commands_come_first():
    first = blocks("bash")[0]
    assert "make quickstart" in first
    assert "make test" in first


def test_the_commands_run(tmp_path, monkeypatch, capsys):
    """In order and in one folder, as a reader types them, on a tiny model and small data in place of the Hub's."""
    monkeypatch.chdir(tmp_path)
    Path("configs").symlink_to(ROOT / "configs")
    Dataset.from_list(make_rows(16)).to_json("rows.jsonl")
    call = {"name": "f", "arguments": {}}
    Path("xlam.json").write_text(
        json.dumps(
            [{"query": "?", "tools": json.dumps([{"name": "f", "parameters": {}}]), "answers": json.dumps([call])}]
        )
    )
    tiny = (
        "--model_name_or_path demo --use_cpu true --bf16 false --max_steps 1 --max_completion_length 8 --report false "
        "--per_device_train_batch_size 8 --gradient_accumulation_steps 1 --gradient_checkpointing false"
    ).split()
    clean = ["--backend", "none", "--num_demo_rows", "20", "--output_dir", "clean"]
    short = ["--num_demo_rows", "8", "--max_completion_length", "8", "--dtype", "float32"]
    more = {"train": tiny, "clean": clean, "evaluate": short, "compare": ["--output_dir", "comparison"]}
    Path("runs").mkdir()
    Path("runs/quickstart").symlink_to(demo_policy_path())  # what `make quickstart` leaves
    ran = []
    for words in command_lines():
        if words[0] == "make":
            continue  # `make quickstart` has a test of its own, and this is `make test`
        if words[0] == "accelerate":
            words = ["egpo-trl", "train", *words[words.index("train.py") + 1 :]]
        assert words[0] == "egpo-trl"
        command, rest = words[1], ["xlam.json" if word.startswith("Salesforce/") else word for word in words[2:]]
        main([command, *rest, *more.get(command, [])])
        ran.append(command)
    assert ran == ["train", "curves", "report", "convert", "clean", "evaluate", "evaluate", "compare"]
    assert "learning_curves.png" in capsys.readouterr().out
    assert Path("runs/qwen3-0.6b/report.html").exists()
    assert len(Path("rows.jsonl").read_text().splitlines()) == 1
    assert Path("clean/manifest.json").exists()
    assert Path("comparison/comparison.md").exists()


@pytest.mark.slow
def test_the_quickstart(tmp_path):
    """What `make quickstart` launches, to its end: exact match rises, and the picture is there."""
    (command,) = re.findall(r"^quickstart:.*\n\t(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    program, *words = shlex.split(command.replace("$(BIN)/", ""))
    launcher = [sys.executable, "-m", "accelerate.commands.accelerate_cli", *words]
    assert program == "accelerate"
    subprocess.run([*launcher, "--output_dir", str(tmp_path)], cwd=ROOT, check=True, timeout=3600)
    before, after = (
        json.loads((tmp_path / f"{name}.json").read_text())["greedy"]["exact_match"]["all"]
        for name in ("before", "after")
    )
    assert after > before + 0.2
    assert (tmp_path / "learning_curves.png").exists()
    assert (tmp_path / "report.html").exists()


def test_python(tmp_path, monkeypatch):
    logging.getLogger("transformers").setLevel(logging.ERROR)
    monkeypatch.chdir(tmp_path)
    Dataset.from_list(make_rows(16)).to_json("rows.jsonl")
    (code,) = blocks("python")
    tiny = (
        ', use_cpu=True, bf16=False, max_steps=1, max_completion_length=8, save_strategy="no", report_to="none", '
        "gradient_checkpointing=False, disable_tqdm=True)"
    )
    code = code.replace('"Qwen/Qwen3-0.6B"', repr(str(demo_policy_path())))
    code = re.sub(r"(EGPOConfig\([^)]*)\)", lambda match: match.group(1).rstrip().rstrip(",") + tiny, code)
    exec(compile(code, "README.md", "exec"), {})
