"""Every shipped YAML parses with the real parsers, passes the launch checks, and launches on the tiny policy and data."""

import json
import re
from pathlib import Path

import pytest
import torch
import transformers
import trl
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from datasets import Dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import ModelConfig, TrlParser

from egpo_trl import EGPOConfig
from egpo_trl.cli import main
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows
from egpo_trl.runs import launch_checks
from egpo_trl.runs.launch_checks import Launch, check_launch, check_lengths, is_installed
from egpo_trl.runs.script_arguments import EGPOScriptArguments

CONFIGS = Path(__file__).parents[2] / "configs"
TRAIN = sorted((CONFIGS / "train").glob("*.yaml"))
SFT = sorted((CONFIGS / "sft").glob("*.yaml"))
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
def test_train_config_passes_the_launch_checks(path, tmp_path, monkeypatch):
    monkeypatch.setattr(launch_checks, "is_installed", lambda package: True)  # where the recipe is launched
    _, args, model_args, *_ = parse(path, tmp_path)
    launch = ENGINE.get(path.stem, Launch("single", 1, (8, 0)))
    warnings = check_launch(args, model_args, launch)
    assert all("reference of the KL term" in warning for warning in warnings)
    assert check_lengths(args, 2048, CONTEXT) == []
    assert args.gradient_accumulation_steps % args.steps_per_generation == 0


# Model of a recipe -> its architecture, and TRL's copy of its chat template.
FAMILIES = {
    "Qwen/Qwen3-0.6B": ("Qwen3", "qwen3"),
    "Qwen/Qwen3-1.7B": ("Qwen3", "qwen3"),
    "Qwen/Qwen3-4B": ("Qwen3", "qwen3"),
    "Qwen/Qwen3-4B-Instruct-2507": ("Qwen3", "qwen3_instruct_2507"),
    "Qwen/Qwen3-8B": ("Qwen3", "qwen3"),
    "Qwen/Qwen3-32B": ("Qwen3", "qwen3"),
    "meta-llama/Llama-3.2-3B-Instruct": ("Llama", "llama3_2"),
    "runs/smollm2/sft": ("Llama", "qwen2_5"),
    "HuggingFaceTB/SmolLM2-135M-Instruct": ("Llama", "qwen2_5"),
}
NOT_LAUNCHED = "# Not launched by the tests:"  # the first line of a recipe that cannot be started on one machine


def tiny_copy(name: str, folder: Path) -> Path:
    """A model of some thousand random weights with the architecture and the chat template of another."""
    architecture, template = FAMILIES[name]
    tokenizer = AutoTokenizer.from_pretrained(demo_policy_path())
    tokenizer.add_tokens(
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], special_tokens=True
    )
    file = Path(trl.__file__).parent / "chat_templates" / f"{template}.jinja"
    tokenizer.chat_template = file.read_text(encoding="utf-8")
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, head_dim=16, max_position_embeddings=8192, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip  # widths are multiples of bitsandbytes' block of 64
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_train_config_launches(path, tmp_path, monkeypatch):
    """One step as it stands, on a tiny model of its architecture: model path, device and lengths are replaced."""
    recipe = yaml.safe_load(path.read_text())
    if path.read_text().startswith(NOT_LAUNCHED):
        pytest.skip("says in its first line that it is not launched here")
    if recipe.get("use_vllm") and not is_installed("vllm"):
        pytest.skip("needs the environment with vLLM")
    monkeypatch.chdir(tmp_path)
    Dataset.from_list(make_rows(128)).to_json("rows.jsonl")
    shorter = ["--max_steps", "1", "--max_completion_length", "8", "--max_validation_rows", "4"]
    if not path.stem.startswith("quickstart"):
        shorter += ["--model_name_or_path", str(tiny_copy(recipe["model_name_or_path"], tmp_path / "tiny"))]
    device = ["--use_cpu", "true", *(["--fp16", "false"] if recipe.get("fp16") else [])]
    if recipe.get("use_vllm"):
        shorter += ["--vllm_max_model_length", "2048"]
    main(["train", "--config", path.stem, *shorter, *device])
    run = Path(recipe["output_dir"])
    assert json.loads((run / "trainer_state.json").read_text())["global_step"] == 1
    assert (run / ("adapter_model.safetensors" if recipe.get("use_peft") else "model.safetensors")).exists()
    if recipe.get("use_peft"):  # the adapter of a quantized base loads onto the plain one as well
        base = AutoModelForCausalLM.from_pretrained(tmp_path / "tiny")
        assert PeftModel.from_pretrained(base, run).peft_config["default"].r == recipe["lora_r"]


@pytest.mark.parametrize("path", SFT, ids=lambda path: path.stem)
def test_sft_config_launches(path, tmp_path, monkeypatch):
    recipe = yaml.safe_load(path.read_text())
    monkeypatch.chdir(tmp_path)
    shorter = ["--max_steps", "1"]
    if path.stem != "quickstart":
        Dataset.from_list(make_rows(32)).to_json("rows.jsonl")
        tiny = tiny_copy(recipe["model_name_or_path"], tmp_path / "tiny")
        shorter += ["--model_name_or_path", str(tiny), "--dataset_name", "rows.jsonl"]
    main(["sft", "--config", f"sft/{path.stem}", *shorter])
    assert (Path(recipe["output_dir"]) / "model.safetensors").exists()


def test_what_is_not_launched_needs_several_machines():
    held_back = [path for path in TRAIN if path.read_text().startswith(NOT_LAUNCHED)]
    assert [path.stem for path in held_back] == ["zero3_32b_multinode"]
    assert all(yaml.safe_load(path.read_text())["vllm_mode"] == "server" for path in held_back)


def test_there_are_configs():
    assert len(TRAIN) >= 11
    expected = {"single", "ddp", "zero2", "zero3", "zero3_offload", "fsdp2", "cpu"}
    assert {path.stem for path in ACCELERATE} == expected


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_a_recipe_says_what_it_needs(path):
    text = path.read_text()
    assert f"--config configs/train/{path.name}" in text
    if not path.stem.startswith("quickstart"):
        assert "Calculated, not measured" in text or "Measured: docs/" in text


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
