"""What the README says can be done: its commands parse, its files exist, its Python runs."""

import logging
import re
import shlex
from pathlib import Path

import pytest
import yaml
from datasets import Dataset

from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_and_files(path):
    text = path.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target
    for name in re.findall(r"(?:configs|benchmarks|docs|notebooks)/[\w./-]+\.(?:yaml|py|md|png|ipynb)", text):
        assert (ROOT / name).exists(), name
    for target in re.findall(r"make ([a-z-]+)`", text):
        assert target in TARGETS, target


def test_commands():
    words = [
        shlex.split(line, comments=True)
        for block in blocks("bash")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    commands = {line[0] for line in words if line}
    assert {"make", "accelerate"} <= commands
    for line in filter(None, words):
        if line[0] == "make":
            assert line[1] in TARGETS
        if "--config" in line:
            yaml.safe_load((ROOT / line[line.index("--config") + 1]).read_text())


def test_the_two_commands_come_first():
    first = blocks("bash")[0]
    assert "make quickstart" in first
    assert "make test" in first


def test_python(tmp_path, monkeypatch):
    logging.getLogger("transformers").setLevel(logging.ERROR)
    monkeypatch.chdir(tmp_path)
    Dataset.from_list(make_rows(16)).to_json("rows.jsonl")
    (code,) = blocks("python")
    tiny = (
        ', use_cpu=True, bf16=False, max_steps=1, max_completion_length=8, save_strategy="no", report_to="none", '
        "activation_checkpointing=False, disable_tqdm=True)"
    )
    code = code.replace('"Qwen/Qwen3-0.6B"', repr(str(demo_policy_path())))
    code = re.sub(r"(EGPOConfig\([^)]*)\)", lambda match: match.group(1).rstrip().rstrip(",") + tiny, code)
    exec(compile(code, "README.md", "exec"), {})
