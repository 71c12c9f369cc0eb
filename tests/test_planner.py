"""The planner: counted figures against DeepSpeed's estimators and real tensors; recipes fit the GPUs that they name."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from deepspeed.runtime.zero.stage3 import (
    estimate_zero3_model_states_mem_needs,
    estimate_zero3_model_states_mem_needs_all_cold,
    model_to_params,
)
from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, Qwen3Config
from trl import ModelConfig, TrlParser, get_peft_config

from egpo_trl import EGPOConfig
from egpo_trl.cli import main
from egpo_trl.planner import Plan, describe, make_plan, measure_model, memory, model_states, remedies, total
from egpo_trl.script_arguments import EGPOScriptArguments
from tests.tiny import tiny_model

CONFIGS = Path(__file__).parents[1] / "configs"


def qwen3(hidden, intermediate, layers, heads, tied=True):
    return Qwen3Config(
        vocab_size=151_936, hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=8, head_dim=128, tie_word_embeddings=tied,
    )  # fmt: skip


MODELS = {
    "Qwen/Qwen3-0.6B": qwen3(1024, 3072, 28, 16),
    "Qwen/Qwen3-1.7B": qwen3(2048, 6144, 28, 16),
    "Qwen/Qwen3-4B-Instruct-2507": qwen3(2560, 9728, 36, 32),
    "Qwen/Qwen3-8B": qwen3(4096, 12288, 36, 32, tied=False),
    "Qwen/Qwen3-32B": qwen3(5120, 25600, 64, 64, tied=False),
    "meta-llama/Llama-3.2-3B-Instruct": LlamaConfig(
        vocab_size=128_256, hidden_size=3072, intermediate_size=8192, num_hidden_layers=28, num_attention_heads=24,
        num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
    ),
}  # fmt: skip
BASE = Plan(
    engine="single", processes=1, offload_optimizer=False, offload_parameters=False, dtype_bytes=4, adapters=False,
    bits=16, nested=False, reference=False, micro_batch=2, rollouts=8, tokens=10, checkpointing=True, vllm="none",
    vllm_share=0.3,
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tiny_tokenizer):
    return tiny_model(tiny_tokenizer)


def test_parameters_are_those_of_the_model_and_of_deepspeed(tiny):
    size = measure_model(tiny.config)
    assert (size.parameters, size.largest_layer) == model_to_params(tiny)
    assert measure_model(MODELS["Qwen/Qwen3-4B-Instruct-2507"]).parameters == 4_022_468_096


@pytest.mark.parametrize("gpus", [1, 2, 8])
@pytest.mark.parametrize(("optimizer", "parameters"), [(False, False), (True, False), (True, True)])
def test_zero3_is_deepspeeds_estimate(tiny, gpus, optimizer, parameters):
    size = measure_model(tiny.config)
    _, expected, _ = estimate_zero3_model_states_mem_needs(
        size.parameters, size.largest_layer, gpus, 1, cpu_offload=optimizer, cpu_offload_params=parameters
    )
    offload = {"offload_optimizer": optimizer, "offload_parameters": parameters}
    states = model_states(size, replace(BASE, engine="zero3", processes=gpus, **offload))
    assert sum(states.values()) == pytest.approx(expected, abs=2)


def test_zero3_is_what_deepspeed_prints(capsys):
    size = measure_model(MODELS["Qwen/Qwen3-32B"])
    estimate_zero3_model_states_mem_needs_all_cold(size.parameters, size.largest_layer, 8, 2)
    lines = [line for line in capsys.readouterr().out.splitlines() if "offload_optimizer=none" in line]
    assert lines
    states = model_states(size, replace(BASE, engine="zero3", processes=16))
    assert all(f"{sum(states.values()) / 2**30:.2f}GB | offload_param=none" in line for line in lines)


@pytest.mark.parametrize("gpus", [1, 2, 8])
def test_zero2_is_deepspeeds_estimate(tiny, gpus):
    size = measure_model(tiny.config)
    _, expected = estimate_zero2_model_states_mem_needs(size.parameters, gpus, 1, cpu_offload=False)
    states = model_states(size, replace(BASE, engine="zero2", processes=gpus))
    assert sum(states.values()) == pytest.approx(expected, abs=2)


def test_states_on_one_gpu_are_those_of_real_tensors(tiny):
    optimizer = torch.optim.AdamW(tiny.parameters())
    tiny(input_ids=torch.ones(1, 4, dtype=torch.long), labels=torch.ones(1, 4, dtype=torch.long)).loss.backward()
    optimizer.step()
    held = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    states = model_states(measure_model(tiny.config), BASE)
    assert states["parameters"] == sum(p.nbytes for p in tiny.parameters())
    assert states["gradients"] == sum(p.grad.nbytes for p in tiny.parameters())
    assert states["optimizer states"] == sum(tensor.nbytes for tensor in held)


def test_kv_cache_is_that_of_a_real_one(tiny):
    cache = tiny(input_ids=torch.ones(8, 10, dtype=torch.long), use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert memory(measure_model(tiny.config), BASE, 1e9)["  generating: KV cache"] == held


def test_adapters_are_counted(tiny_tokenizer):
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = tiny_model(tiny_tokenizer)
    size = measure_model(model.config, lora)
    adapted = get_peft_model(model, lora)
    assert size.adapter == sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    plan = replace(BASE, adapters=True, reference=True)
    parts = memory(size, plan, 1e9)
    assert parts["optimizer states"] == 8 * size.adapter
    assert parts["reference model"] == 0
    four, eight = (memory(size, replace(plan, bits=bits), 1e9)["parameters"] for bits in (4, 8))
    assert four < eight < parts["parameters"]


RUNS = {
    "paper_qwen3_4b": ("zero2", 8, 80),
    "paper_llama_3.2_3b": ("zero2", 8, 80),
    "qwen3_0.6b": ("single", 1, 24),
    "lora_80gb": ("single", 1, 80),
    "qlora_24gb": ("single", 1, 24),
    "qlora_t4": ("single", 1, 15),
    "vllm_colocate_8b": ("zero3", 8, 80),
    "zero3_32b_multinode": ("zero3", 16, 80),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_recipe_fits_the_gpus_that_it_names(name, tmp_path):
    engine, processes, gpu_gb = RUNS[name]
    command = ["--config", str(CONFIGS / "train" / f"{name}.yaml"), "--use_cpu", "true", "--output_dir", str(tmp_path)]
    parser = TrlParser((EGPOScriptArguments, EGPOConfig, ModelConfig))
    _, args, model_args = parser.parse_args_and_config(command)
    accelerate_config = yaml.safe_load((CONFIGS / "accelerate" / f"{engine}.yaml").read_text())
    size = measure_model(MODELS[model_args.model_name_or_path], get_peft_config(model_args))
    plan = make_plan(args, model_args, {**accelerate_config, "num_processes": processes}, prompt_length=1024)
    shown = describe(size, plan, gpu_gb)
    assert shown.endswith("It fits."), shown


def test_what_would_make_it_fit():
    size = measure_model(MODELS["Qwen/Qwen3-4B-Instruct-2507"])
    plan = replace(BASE, engine="ddp", processes=8, dtype_bytes=4, reference=True, tokens=10_000)
    for name in remedies(size, plan, 80e9):
        assert name in describe(size, plan, 80)
    assert "configs/accelerate/zero2.yaml" in remedies(size, plan, 80e9)
    assert total(memory(size, replace(plan, engine="zero2"), 80e9)) < 0.92 * 80e9

    many = replace(plan, engine="zero2", rollouts=128)
    assert any(name.startswith("steps_per_generation: 4") for name in remedies(size, many, 80e9))
    both = replace(plan, engine="ddp", rollouts=128)
    assert [" and " in name for name in remedies(size, both, 80e9)] == [True]
    large = measure_model(MODELS["Qwen/Qwen3-32B"])
    assert "more GPUs, larger ones or a smaller model" in describe(large, BASE, 24)


def test_command(capsys):
    recipe = str(CONFIGS / "train" / "quickstart.yaml")
    main(["plan", "--config", recipe, "--accelerate_config", str(CONFIGS / "accelerate" / "zero3.yaml")])
    shown = capsys.readouterr().out
    assert "zero3 on 8 GPU(s) of 80 GB" in shown
    assert shown.endswith("It fits.\n")
    main(["plan", "--config", recipe, "--gpu_memory", "1"])
    assert "It does not fit" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"none\.yaml"):
        main(["plan", "--config", "none.yaml"])
