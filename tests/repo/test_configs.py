"""Every shipped YAML parses with the real parsers, passes the launch checks, and launches on the tiny policy and data."""

import json
import re
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from peft import PeftModel
from transformers import AutoModelForCausalLM
from trl import ModelConfig, TrlParser

from egpo_trl import EGPOConfig
from egpo_trl.cli import train
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.runs.launch_checks import Launch, check_launch, check_lengths
from egpo_trl.runs.script_arguments import EGPOScriptArguments

CONFIGS = Path(__file__).parents[2] / "configs"
TRAIN = sorted((CONFIGS / "train").glob("*.yaml"))
ACCELERATE = sorted((CONFIGS / "accelerate").glob("*.yaml"))
ENGINE = {  # what a recipe's own command launches: engine, processes, compute capability
    "paper_qwen3_4b": Launch("zero2", 8, (9, 0)),
    "paper_llama_3.2_3b": Launch("zero2", 8, (9, 0)),
    "vllm_colocate_8b": Launch("zero3", 8, (9, 0)),
    "zero3_32b_multinode": Launch("zero3", 16, (9, 0)),
    "qlora_t4": Launch("single", 1, (7, 5)),
    "quickstart": Launch(),
    "quickstart_multiturn": Launch(),
    "quickstart_multiturn_stepwise": Launch(),
}
CONTEXT = 32_768  # the shortest of the recipes' models


def parse(path: Path, tmp_path: Path):
    parser = TrlParser((EGPOScriptArguments, EGPOConfig, ModelConfig))
    command = ["--config", str(path), "--use_cpu", "true", "--output_dir", str(tmp_path)]
    return parser.parse_args_and_config(command, return_remaining_strings=True, separate_remaining_strings=True)


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_train_config(path, tmp_path):
    script, args, model_args, *rest = parse(path, tmp_path)
    assert rest == [[], []]
    written = yaml.safe_load(path.read_text())
    assert model_args.model_name_or_path == written["model_name_or_path"]
    assert args.learning_rate == pytest.approx(written["learning_rate"])
    assert script.prompt_style == written.get("prompt_style", "native")


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_train_config_passes_the_launch_checks(path, tmp_path):
    _, args, model_args, *_ = parse(path, tmp_path)
    launch = ENGINE.get(path.stem, Launch("single", 1, (8, 0)))
    warnings = check_launch(args, model_args, launch)
    assert all("reference of the KL term" in warning for warning in warnings)
    assert check_lengths(args, 2048, CONTEXT) == []
    assert args.gradient_accumulation_steps % args.steps_per_generation == 0


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_train_config_launches(path, tmp_path):
    """One step with the tiny policy and data, without what needs a GPU; everything else is the recipe's."""
    recipe = yaml.safe_load(path.read_text())
    demo = recipe["dataset_name"] if path.stem.startswith("quickstart") else "demo"
    small = {
        "model_name_or_path": demo, "dataset_name": demo, "num_demo_rows": 16, "max_validation_rows": 4,
        "prompt_style": "native", "max_steps": 1, "max_completion_length": 8, "report": False,
        "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "output_dir": str(tmp_path / "run"),
    }  # fmt: skip
    small |= {"steps_per_generation": 1} if "steps_per_generation" in recipe else {}
    on_cpu = {"use_cpu": True, "bf16": False, "fp16": False, "dtype": "float32", "use_vllm": False}
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(recipe | small | on_cpu))
    train(["--config", str(config)])
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    assert state["global_step"] == 1
    saved = "adapter_model.safetensors" if recipe.get("use_peft") else "model.safetensors"
    assert (tmp_path / "run" / saved).exists()
    if recipe.get("use_peft"):  # the adapter of a quantized base loads onto the plain one as well
        base = AutoModelForCausalLM.from_pretrained(demo_policy_path())
        assert PeftModel.from_pretrained(base, tmp_path / "run").peft_config["default"].r == recipe["lora_r"]


def test_there_are_configs():
    assert len(TRAIN) >= 11
    expected = {"single", "ddp", "zero2", "zero3", "zero3_offload", "fsdp2", "cpu"}
    assert {path.stem for path in ACCELERATE} == expected


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_a_recipe_says_what_it_needs(path):
    text = path.read_text()
    assert f"--config configs/train/{path.name}" in text
    if not path.stem.startswith("quickstart"):
        assert "Calculated, not measured" in text


@pytest.mark.parametrize("path", ACCELERATE, ids=lambda path: path.stem)
def test_accelerate_config(path):
    assert path.read_text().startswith("# ")
    config = load_config_from_file(str(path))
    assert config.num_processes >= 1
    written = yaml.safe_load(path.read_text())
    assert all(hasattr(config, key) for key in written)


@pytest.mark.parametrize("name", ["paper_qwen3_4b", "paper_llama_3.2_3b"])
def test_the_papers_recipe_has_the_papers_numbers(name):
    recipe = yaml.safe_load((CONFIGS / "train" / f"{name}.yaml").read_text())
    processes = yaml.safe_load((CONFIGS / "accelerate" / "zero2.yaml").read_text())["num_processes"]
    assert processes * recipe["per_device_train_batch_size"] * recipe["gradient_accumulation_steps"] == 1024
    expected = {
        "egpo_lambda": 0.4, "egpo_alpha": 2.0, "learning_rate": 1e-6, "beta": 0.001, "temperature": 0.7,
        "max_completion_length": 8192, "num_generations": 8, "num_train_epochs": 5, "validation_share": 0.05,
    }  # fmt: skip
    assert {name: recipe[name] for name in expected} == expected


def test_the_command_for_several_machines_can_be_pasted():
    """One line, whose only blanks are variables that the line before sets."""
    text = (CONFIGS / "train" / "zero3_32b_multinode.yaml").read_text()
    (variables,) = re.findall(r"^#   export (.+)$", text, re.MULTILINE)
    (command,) = re.findall(r"^#   (accelerate launch .+)$", text, re.MULTILINE)
    assert set(re.findall(r"\$(\w+)", command)) <= {pair.partition("=")[0] for pair in variables.split()}
    assert "--dataset_name rows.jsonl" in command
    assert re.search(r"train\.py --config configs/train/zero3_32b_multinode\.yaml", command)
