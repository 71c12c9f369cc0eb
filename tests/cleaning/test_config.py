"""Fields of a cleaning run, the shipped recipe, and the command."""

import json
import re
from pathlib import Path

import pytest
import yaml

from egpo_trl.cleaning import CleaningConfig
from egpo_trl.cli import main
from egpo_trl.demo.world import make_rows
from tests.cleaning.judge_server import JudgeServer
from tests.cleaning.world_judge import Truth

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "configs" / "clean" / "example.yaml"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("backend", "jax", "backend must be one of openai, transformers, vllm, none, got 'jax'"),
        ("output_format", "csv", "output_format must be one of"),
        ("fsync", "sometimes", "fsync must be one of"),
        ("structured_output", "yes", "structured_output must be one of"),
        ("on_judge_failure", "ignore", "on_judge_failure must be one of"),
        ("max_regenerations", -1, "max_regenerations must be at least 0"),
        ("concurrency", 0, "concurrency must be at least 1"),
        ("max_requests", 0, "max_requests must be at least 1"),
        ("temperature", float("nan"), "temperature must be at least 0"),
        ("request_timeout", 0, "request_timeout must be positive"),
        ("output_dir", "", "output_dir must name"),
        ("leak_threshold", 0, "leak_threshold must be above 0"),
        ("leak_min_words", 0, "leak_min_words must be at least 1"),
        ("base_url", "http://me:secret@host/v1", "base_url must not hold credentials"),
        ("chat_template_kwargs", "{", "chat_template_kwargs must be a JSON object"),
        ("chat_template_kwargs", "[1]", "chat_template_kwargs must be a JSON object"),
    ],
)
def test_bad_fields(field, value, message):
    with pytest.raises(ValueError, match=message):
        CleaningConfig(**{"output_dir": "x", field: value})


def test_fields_that_need_each_other():
    with pytest.raises(ValueError, match="call_needed is read by the AST evaluation"):
        CleaningConfig(output_dir="x", call_needed="always", ast_evaluation=False)


def test_the_fields_of_the_docs_exist():
    page = (ROOT / "docs" / "cleaning.md").read_text().partition("## Fields to set")[2].partition("\n## ")[0]
    named = [
        name for cell in re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    ]
    assert len(named) > 10
    assert not set(named) - vars(CleaningConfig(output_dir="x")).keys()


def test_the_command_runs_the_shipped_recipe(tmp_path, capsys, monkeypatch):
    import egpo_trl.cleaning.pipeline as pipeline

    monkeypatch.setattr(pipeline, "_default_evaluation", lambda call_needed: lambda row: None)
    truth = Truth(make_rows(40))
    with JudgeServer(truth) as server:
        command = ["clean", "--config", str(EXAMPLE), "--base_url", server.url, "--num_demo_rows", "40"]
        main([*command, "--output_dir", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "After LLM evaluation" in shown
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["counts"]["ast"]["rows"] == 40
    written = yaml.safe_load(EXAMPLE.read_text())
    assert {name: manifest["config"][name] for name in written} == {
        **written, "base_url": server.url, "num_demo_rows": 40, "output_dir": str(tmp_path),
    }  # fmt: skip


def test_fields_from_file_and_line(tmp_path, monkeypatch):
    import egpo_trl.cleaning as cleaning

    seen = []
    monkeypatch.setattr(cleaning, "clean", lambda config, **_: seen.append(config) or 1 / 0, raising=False)
    path = tmp_path / "config.yaml"
    path.write_text("output_dir: out\nmax_requests: 5\nchat_template_kwargs:\n  enable_thinking: false\n")
    line = ["--requests_per_minute", "7", "--chat_template_kwargs", '{"a": 1}', "--ast_evaluation", "false"]
    for words in ([], line):
        with pytest.raises(ZeroDivisionError):
            main(["clean", "--config", str(path), *words])
    assert [config.max_requests for config in seen] == [5, 5]
    assert [config.requests_per_minute for config in seen] == [None, 7]
    assert [config.chat_template_kwargs for config in seen] == [{"enable_thinking": False}, {"a": 1}]
    assert [config.ast_evaluation for config in seen] == [True, False]
    monkeypatch.setattr(cleaning, "clean", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt), raising=False)
    with pytest.raises(SystemExit, match="interrupted; run the same command again"):
        main(["clean", "--config", str(path)])


def test_the_command_says_what_is_wrong(tmp_path):
    for words, message in (
        (["--concurency", "3"], "unknown option 'concurency', did you mean 'concurrency'"),
        (["--dataset_name", "none.jsonl"], "there is no file 'none.jsonl'"),
        (["--max_completion_length", "0"], "max_completion_length must be at least 1"),
        (["--base_url", "http://127.0.0.1:9/v1", "--max_retries", "0", "--num_demo_rows", "3"], "judge failed at row"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(
                ["clean", "--config", str(EXAMPLE), "--output_dir", str(tmp_path), "--ast_evaluation", "false", *words]
            )
