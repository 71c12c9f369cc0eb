"""Launch checks: one clear error each, that names the remedy; and no error where a run would work."""

import json
import tomllib
import warnings
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from packaging.requirements import Requirement
from packaging.version import Version
from transformers import AutoTokenizer
from trl import ModelConfig
from trl.import_utils import is_vllm_available

from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.grpo.config import check_batch
from egpo_trl.runs.launch_checks import (
    Launch,
    check_launch,
    check_lengths,
    check_number_of_rows,
    check_precision,
    check_quantization,
    check_reference_model,
    deepspeed_settings,
    engine_of,
)
from egpo_trl.runs.script_arguments import EGPOScriptArguments
from egpo_trl.runs.setup import RunRows, check_before_loading, prompt_lengths
from egpo_trl.runs.training import build_trainer
from egpo_trl.sampling.models import context_length
from tests.tiny import config, prompts_only, tool_rows


@pytest.mark.parametrize(
    ("environment", "engine"),
    [
        ({}, "single"),
        ({"WORLD_SIZE": "1"}, "single"),
        ({"WORLD_SIZE": "2"}, "ddp"),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, "zero3"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "zero2"),
        ({"ACCELERATE_USE_FSDP": "true", "WORLD_SIZE": "2"}, "fsdp"),
    ],
)
def test_engine(environment, engine):
    assert engine_of(environment) == engine


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}}}, (3, "none", "cpu")),
        ({"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}, (2, "cpu", "none")),
        ({}, (0, "none", "none")),
        (None, (2, "none", "none")),
    ],
)
def test_engine_of_deepspeeds_own_file(tmp_path, content, expected):
    file = tmp_path / "ds.json"
    file.write_text("?" if content is None else json.dumps(content))
    settings = deepspeed_settings({"deepspeed_config_file": str(file)})
    assert tuple(settings.values()) == expected
    environment = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_CONFIG_FILE": str(file)}
    assert engine_of(environment) == f"zero{expected[0]}"


@pytest.mark.parametrize(
    ("micro_batch", "steps", "generations", "enough"), [(3, 1, 4, 4), (2, 1, 8, 4), (6, 3, 8, 4), (1, 5, 8, 8)]
)
def test_batch_is_divisible(tmp_path, micro_batch, steps, generations, enough):
    batch = {"per_device_train_batch_size": micro_batch, "num_generations": generations}
    with pytest.raises(
        ValueError, match=f"divisible by num_generations .*Set gradient_accumulation_steps to {enough}"
    ):
        config(tmp_path, gradient_accumulation_steps=steps, **batch)
    config(tmp_path, gradient_accumulation_steps=enough, **batch, per_device_eval_batch_size=generations)


def test_batch_counts_the_processes(tmp_path):
    args = config(tmp_path, per_device_train_batch_size=4, num_generations=4)
    check_batch(args, num_processes=3)
    args.num_generations = 8
    check_batch(args, num_processes=2)
    with pytest.raises(
        ValueError, match=r"got 12: .*\(4\) x 3 processes x gradient_accumulation_steps \(1\)\. Set .* to 2"
    ):
        check_batch(args, num_processes=3)


def test_a_generation_batch_that_was_given_keeps_trls_message(tmp_path):
    with pytest.raises(ValueError, match=r"generation_batch_size \(6\) must be divisible"):
        config(tmp_path, per_device_train_batch_size=2, num_generations=4, generation_batch_size=6)


def test_rows_fill_a_generation(tmp_path):
    args = config(tmp_path)  # 8 rollouts, 4 for each row
    check_number_of_rows(2, args)
    with pytest.raises(ValueError, match=r"takes 2 different rows .* have 1\. Lower gradient_accumulation_steps"):
        check_number_of_rows(1, args)


QLORA = {"load_in_4bit": True, "use_peft": True, "dtype": "bfloat16"}


@pytest.mark.parametrize(
    ("engine", "model", "message"),
    [
        ("single", {"load_in_4bit": True}, "load_in_4bit freezes the weights.*use_peft: true"),
        ("zero3", QLORA, "zero3 shares out 4-bit weights only if.*Set both to bfloat16, or launch with .*zero2"),
        ("fsdp", QLORA, "fsdp shares out 4-bit weights only if"),
        ("zero3", {**QLORA, "load_in_4bit": False, "load_in_8bit": True}, "zero3 cannot share out 8-bit weights"),
    ],
)
def test_quantized_model_that_cannot_be_trained(engine, model, message):
    with pytest.raises(ValueError, match=message):
        check_quantization(ModelConfig(**model), engine)


def test_quantized_model_that_can_be_trained():
    for engine in ("single", "ddp", "zero2"):
        check_quantization(ModelConfig(**QLORA), engine)
    check_quantization(ModelConfig(**QLORA, bnb_4bit_quant_storage="bfloat16"), "zero3")
    check_quantization(ModelConfig(), "zero3")


T4, A100 = Launch(compute_capability=(7, 5)), Launch(compute_capability=(8, 0))


@pytest.mark.parametrize(
    ("launch", "args", "model", "message"),
    [
        (T4, {"bf16": True}, {}, r"capability 7\.5\) only emulates bfloat16.*fp16: true and dtype: float16"),
        (T4, {}, {"dtype": "bfloat16"}, "only emulates bfloat16"),
        (A100, {"fp16": True}, {"dtype": "bfloat16"}, "Use bf16: true"),
        (A100, {"fp16": True}, {"dtype": "float16"}, "Set dtype: float32, or use_peft: true"),
    ],
)
def test_number_format_that_fails(tmp_path, launch, args, model, message):
    with pytest.raises(ValueError, match=message):
        check_precision(config(tmp_path, **args), ModelConfig(**model), launch)


def test_number_format_that_works(tmp_path):
    peft = {"use_peft": True}
    assert check_precision(config(tmp_path, bf16=True), ModelConfig(), A100) == []
    assert check_precision(config(tmp_path, fp16=True), ModelConfig(dtype="float16", **peft), T4) == []
    assert check_precision(config(tmp_path, learning_rate=1e-6), ModelConfig(dtype="bfloat16", **peft), A100) == []
    assert (
        check_precision(config(tmp_path, learning_rate=1e-6), ModelConfig(dtype="bfloat16"), Launch("zero2", 8)) == []
    )


def test_bfloat16_weights_lose_small_updates(tmp_path):
    weight = torch.tensor(0.02, dtype=torch.bfloat16)
    assert weight - 1e-6 == weight
    (warning,) = check_precision(config(tmp_path, learning_rate=1e-6), ModelConfig(dtype="bfloat16"), Launch("ddp", 8))
    assert "round to nothing. Set dtype: float32" in warning


@pytest.mark.parametrize(
    ("args", "prompt", "message"),
    [
        ({"max_completion_length": 1024}, 0, r"\(1024\) leaves no room for a prompt in the model's context \(1024\)"),
        ({"max_completion_length": 10}, 1024, "longest prompt has 1024 tokens, which the model's context"),
        (
            {"vllm_max_model_length": 2048},
            0,
            r"vllm_max_model_length \(2048\) is more than the model's.*Lower it to 1024",
        ),
        ({"vllm_max_model_length": 12}, 0, r"no room for a prompt in vllm_max_model_length \(12\)\. Raise it"),
    ],
)
def test_lengths_that_do_not_fit(tmp_path, args, prompt, message):
    with pytest.raises(ValueError, match=message):
        check_lengths(config(tmp_path, use_vllm=True, vllm_mode="colocate", **args), prompt, 1024)


def test_a_server_has_its_own_context(tmp_path):
    args = config(tmp_path, use_vllm=True, vllm_mode="server", vllm_max_model_length=512)
    (warning,) = check_lengths(args, 20, 1024)
    assert "--max_model_len 512" in warning


@pytest.mark.parametrize("installed", ["0.22.1", "0.31.0+cu129", "0.30.0+cpu", "0.21.0", "0.33.0"])
def test_trl_warns_of_a_vllm_that_the_extra_does_not_install(monkeypatch, installed):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (requirement,) = project["optional-dependencies"]["vllm"]
    monkeypatch.setitem(is_vllm_available.__globals__, "_is_package_available", lambda *_, **__: (True, installed))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        is_vllm_available()
    is_installed_by_extra = Version(installed).base_version in Requirement(requirement).specifier
    assert ["TRL currently supports vLLM" in str(one.message) for one in told] == [True] * (not is_installed_by_extra)


def test_lengths_that_fit(tmp_path):
    args = config(tmp_path, max_completion_length=100)
    assert check_lengths(args, 924, 1024) == []
    assert check_lengths(args, 5000, None) == []
    (warning,) = check_lengths(args, 950, 1024)
    assert "lower max_completion_length to 74" in warning


def test_reference_model(tmp_path):
    assert check_reference_model(config(tmp_path), ModelConfig()) == []
    assert check_reference_model(config(tmp_path, beta=0.1), ModelConfig(use_peft=True)) == []
    (warning,) = check_reference_model(config(tmp_path, beta=0.1), ModelConfig())
    assert "loads the model a second time" in warning
    for model, reason in ((ModelConfig(), "beta: 0 needs none"), (ModelConfig(use_peft=True), "use_peft: true needs")):
        args = config(tmp_path, sync_ref_model=True, beta=0.1 if model.use_peft else 0.0)
        with pytest.raises(ValueError, match=reason):
            check_launch(args, model, Launch())


def test_longest_prompt(tiny_tokenizer):
    rows = tool_rows(16)
    lengths = [
        len(
            tiny_tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=True)[
                "input_ids"
            ]
        )
        for row in rows
    ]
    assert max(prompt_lengths(rows, tiny_tokenizer, False, longest=8)) == max(lengths)
    assert max(prompt_lengths(rows, tiny_tokenizer, True, longest=8)) > max(lengths)
    assert max(prompt_lengths(prompts_only(16), tiny_tokenizer, True, longest=8)) == max(lengths)
    texts = Dataset.from_list([{"prompt": "Play Bach."}, {"prompt": "Play Bach in order."}])
    assert max(prompt_lengths(texts, tiny_tokenizer, False, longest=8)) == len(
        tiny_tokenizer("Play Bach in order.")["input_ids"]
    )


def test_all_checks_run_before_the_model_is_loaded(tmp_path):
    model = AutoTokenizer.from_pretrained(demo_policy_path())
    model.save_pretrained(tmp_path / "no_weights")
    (tmp_path / "no_weights" / "config.json").write_text((demo_policy_path() / "config.json").read_text())
    arguments = ModelConfig(model_name_or_path=str(tmp_path / "no_weights"))
    script = EGPOScriptArguments()
    rows = RunRows(*[tool_rows()] * 4)
    assert check_before_loading(script, config(tmp_path), arguments, rows) == (rows, [])
    with pytest.raises(ValueError, match="leaves no room"):
        check_before_loading(script, config(tmp_path, max_completion_length=1024), arguments, rows)


def test_context_length_of_a_config():
    from transformers import MambaConfig, Qwen3Config

    assert context_length(Qwen3Config(max_position_embeddings=77)) == 77
    assert context_length(MambaConfig()) is None


def test_fp16_adapters_of_a_quantized_model_are_held_in_float32(tmp_path):
    args = config(tmp_path, fp16=True, bf16=False)
    model_args = ModelConfig(model_name_or_path="demo", dtype="float16", load_in_4bit=True, use_peft=True)
    rows = tool_rows(8)
    trainer = build_trainer(EGPOScriptArguments(), args, model_args, rows, rows)
    trained = {parameter.dtype for parameter in trainer.model.parameters() if parameter.requires_grad}
    assert trained == {torch.float32}
