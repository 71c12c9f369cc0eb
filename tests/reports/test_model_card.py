"""The model card: what it says about a run, never "None", and an example that runs as it stands."""

import json
import re

import pytest
import yaml
from transformers import AutoTokenizer

from egpo_trl.cli import main
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.reports.model_card import changed_fields
from tests.tiny import config, tool_rows, train

TINY = ["--num_demo_rows", "32", "--max_steps", "1", "--use_cpu", "true", "--bf16", "false", "--report_to", "none"]  # fmt: skip
TRAIN = [
    *TINY, "--max_validation_rows", "8", "--per_device_train_batch_size", "8", "--num_generations", "4", "--logging_steps", "1",
    "--max_completion_length", "24", "--gradient_accumulation_steps", "1", "--gradient_checkpointing", "false",
]  # fmt: skip


def run_example(text, folder, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(compile(code, "README.md", "exec"), {})
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("train", TRAIN, ["EGPO is GRPO with", "| 0.4 | 2.0 | token | think |", "arxiv.org/abs/2508.05118", "A_new ="]),
        ("train", [*TRAIN, "--egpo_lambda", "0", "--report", "false"], ["with GRPO on", "lambda 0"]),
        ("train", [*TRAIN, "--prompt_style", "paper", "--max_validation_rows", "2"], ["to_messages", "prompt_style: paper"]),
        ("sft", [*TINY, "--per_device_train_batch_size", "2"], ["with SFT on the embedded demo", "Supervised fine-tuning"]),
    ],
    ids=["EGPO", "GRPO without a report", "paper style", "SFT"],
)  # fmt: skip
def test_the_card_of_a_run(tmp_path, monkeypatch, capsys, name, words, said):
    main([name, "--output_dir", str(tmp_path / "my-model"), *words])
    text = (tmp_path / "my-model" / "README.md").read_text()
    assert "None" not in text
    assert str(tmp_path) not in text
    for one in ("the embedded demo of egpo-trl", "32 rows, 1 optimizer steps", "trl 1.16", *said):
        assert one in text, one
    front = yaml.safe_load(text.split("---")[1])
    assert {"trl", "function-calling", "tool-use"} <= set(front["tags"])
    assert ("egpo" in front["tags"]) == (name == "train")
    (settings,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert yaml.safe_load(settings)["max_steps"] == 1
    has_report = name == "train" and "--report" not in words
    assert ("held-out rows, in %, with 95 % intervals" in text) == has_report
    assert (
        bool(re.search(r"\| greedy decoding \| [\d.]+ \([\d.]+ to [\d.]+\) \| [\d.]+ \([\d.]+ to", text)) == has_report
    )
    assert ("![Learning curves](learning_curves.png)" in text) == (name == "train")
    assert run_example(text, tmp_path, monkeypatch, capsys).strip()


@pytest.mark.parametrize(
    ("base", "metadata", "said"),
    [
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "Fine-tuned from `Qwen/Qwen3-0.6B`"),
        ("/somewhere/else/my-base", None, "Fine-tuned from `my-base` (not on the Hub)"),
        ("", None, "Trained from a model without a name"),
    ],
)
def test_python_users_get_the_same_card(tmp_path, base, metadata, said):
    tokenizer = AutoTokenizer.from_pretrained(demo_policy_path())
    trainer = train(tmp_path / "run", tokenizer, model=str(demo_policy_path()), dataset=tool_rows(8), max_steps=1)
    trainer.model.config._name_or_path = base
    trainer.create_model_card(dataset_name="org/rows", tags="mine")
    text = (tmp_path / "run" / "README.md").read_text()
    assert "None" not in text
    assert said in text
    assert "on `org/rows`" in text
    front = yaml.safe_load(text.split("---")[1])
    assert front.get("base_model") == metadata
    assert front["datasets"] in ("org/rows", ["org/rows"])
    assert "mine" in front["tags"]
    assert f"egpo_lambda: {trainer.args.egpo_lambda}" not in text  # the default
    assert "num_generations: 4" in text


def test_changed_fields(tmp_path):
    assert {"num_generations", "max_steps"} <= set(changed_fields(config(tmp_path)))
    assert "egpo_alpha" not in changed_fields(config(tmp_path))
    assert "egpo_alpha" in changed_fields(config(tmp_path, egpo_alpha=3.0))


def test_summaries_carry_intervals():
    from egpo_trl.evaluation.exact_match import Judged, summarize

    items = [Judged({"prompt": [], "reference": "[]", "kind": kind}, "", score, "x") for kind, score in (("a", 1.0), ("a", 0.0), ("b", 1.0))]  # fmt: skip
    intervals = json.loads(json.dumps(summarize({"greedy": items})))["greedy"]["intervals"]
    assert intervals["b"][1] == 1.0
    assert set(intervals) == {"all", "a", "b"}
    assert intervals["a"][0] < 0.5 < intervals["a"][1]
