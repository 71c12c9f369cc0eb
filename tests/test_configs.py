"""Every shipped YAML parses with the real parsers and has no unknown field."""

from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from trl import ModelConfig, TrlParser

from egpo_trl import EGPOConfig
from egpo_trl.training import EGPOScriptArguments

CONFIGS = Path(__file__).parents[1] / "configs"
TRAIN = sorted((CONFIGS / "train").glob("*.yaml"))
ACCELERATE = sorted((CONFIGS / "accelerate").glob("*.yaml"))


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_train_config(path, tmp_path):
    parser = TrlParser((EGPOScriptArguments, EGPOConfig, ModelConfig))
    on_cpu = ["--use_cpu", "true", "--bf16", "false", "--output_dir", str(tmp_path)]
    script, args, model_args, *rest = parser.parse_args_and_config(
        ["--config", str(path), *on_cpu], return_remaining_strings=True, separate_remaining_strings=True
    )
    assert rest == [[], []]
    written = yaml.safe_load(path.read_text())
    assert model_args.model_name_or_path == written["model_name_or_path"]
    assert args.learning_rate == pytest.approx(written["learning_rate"])
    assert script.prompt_style == written.get("prompt_style", "native")


def test_there_are_configs():
    assert len(TRAIN) >= 3
    assert len(ACCELERATE) >= 3


@pytest.mark.parametrize("path", ACCELERATE, ids=lambda path: path.stem)
def test_accelerate_config(path):
    config = load_config_from_file(str(path))
    assert config.num_processes >= 1
    written = yaml.safe_load(path.read_text())
    assert all(hasattr(config, key) for key in written)


def test_the_papers_recipe_has_the_papers_numbers():
    recipe = yaml.safe_load((CONFIGS / "train" / "paper_qwen3_4b.yaml").read_text())
    processes = yaml.safe_load((CONFIGS / "accelerate" / "ddp.yaml").read_text())["num_processes"]
    assert processes * recipe["per_device_train_batch_size"] * recipe["gradient_accumulation_steps"] == 1024
    expected = {
        "egpo_lambda": 0.4, "egpo_alpha": 2.0, "learning_rate": 1e-6, "beta": 0.001, "temperature": 0.7,
        "max_completion_length": 8192, "num_generations": 8, "num_train_epochs": 5, "validation_share": 0.05,
    }  # fmt: skip
    assert {name: recipe[name] for name in expected} == expected
