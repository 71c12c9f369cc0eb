"""One way from a model's name to its weights, for every command and in Python."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from egpo_trl import EGPOTrainer, ToolCallReward
from egpo_trl.cli import main
from egpo_trl.demo.names import model_folder
from egpo_trl.demo.policy import demo_policy_path
from tests.tiny import config, tool_rows

SHORT = [
    "--max_steps",
    "1",
    "--per_device_train_batch_size",
    "8",
    "--num_demo_rows",
    "16",
    "--logging_steps",
    "1",
    "--warmup_steps",
    "0",
]
RL = [
    "train",
    "--config",
    "quickstart",
    *SHORT,
    "--max_completion_length",
    "24",
    "--report",
    "false",
    "--save_strategy",
    "no",
]
LORA = ["--use_peft", "true", "--lora_r", "4", "--lora_target_modules", "all-linear"]


def test_names():
    assert model_folder(None) == model_folder("demo") == model_folder(Path("demo")) == str(demo_policy_path())
    assert model_folder("demo-multiturn") == str(demo_policy_path("multi-turn"))
    assert model_folder("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"
    assert model_folder(Path("a/b")) == "a/b"


@pytest.mark.parametrize("model", ["demo", "demo-multiturn", demo_policy_path()])
def test_in_python(model, tmp_path):
    trainer = EGPOTrainer(model, ToolCallReward(), config(tmp_path), tool_rows(8))
    expected = AutoModelForCausalLM.from_pretrained(model_folder(model))
    assert torch.equal(trainer.model.get_input_embeddings().weight, expected.get_input_embeddings().weight)


def test_a_frozen_model_is_an_error(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(demo_policy_path()).requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(demo_policy_path())
    with pytest.raises(ValueError, match="No weight of the model is trainable"):
        EGPOTrainer(model, ToolCallReward(), config(tmp_path), tool_rows(8), processing_class=tokenizer)


def test_the_multi_turn_policy_in_every_command(tmp_path):
    main(["evaluate", "demo", "--model", "demo-multiturn", "--num_demo_rows", "2", "--max_completion_length", "4", "--output_dir",
          str(tmp_path / "evaluation")])  # fmt: skip
    main(["sft", "--config", "quickstart", *SHORT, "--model_name_or_path", "demo-multiturn", "--output_dir",
          str(tmp_path / "sft")])  # fmt: skip
    assert (tmp_path / "sft" / "model.safetensors").exists()


def test_sft_with_lora_and_then_rl_on_the_adapter(tmp_path, capsys):
    sft, run = tmp_path / "sft", tmp_path / "run"
    main(["sft", "--config", "quickstart", *SHORT, *LORA, "--output_dir", str(sft)])
    start = load_file(sft / "adapter_model.safetensors")
    assert any(value.abs().sum() > 0 for name, value in start.items() if "lora_B" in name)
    capsys.readouterr()
    main([*RL, *LORA, "--model_name_or_path", str(sft), "--learning_rate", "1e-3", "--output_dir", str(run)])
    assert f"{sft} is an adapter of {demo_policy_path()}" in capsys.readouterr().out
    end = load_file(run / "adapter_model.safetensors")
    assert start.keys() == end.keys()
    assert json.loads((run / "adapter_config.json").read_text())["r"] == 4
    moved = [name for name in start if not torch.equal(start[name], end[name])]
    assert any("lora_A" in name for name in moved)
    near = max((start[name] - end[name]).abs().max().item() for name in start)
    assert near < 0.01  # one step from where SFT ended, not a new adapter
    with pytest.raises(SystemExit, match=r"lora_r 8 does nothing.*adapter with r 4"):
        main([*RL, *LORA[:2], "--lora_r", "8", "--model_name_or_path", str(sft), "--output_dir", str(tmp_path / "no")])
    main(
        [
            "sft",
            "--config",
            "quickstart",
            *SHORT,
            "--model_name_or_path",
            str(sft),
            "--output_dir",
            str(tmp_path / "on"),
        ]
    )
    assert (tmp_path / "on" / "adapter_model.safetensors").exists()


@pytest.mark.parametrize("command", ["train", "sft"])
@pytest.mark.parametrize("name", ["nothing/", "/no/such/model"])
def test_a_folder_without_a_model(command, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("nothing").mkdir()
    with pytest.raises(SystemExit, match="holds neither a model"):
        main([command, "--config", "quickstart", *SHORT, "--model_name_or_path", name, "--output_dir", "out"])
