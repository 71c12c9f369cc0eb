"""The planner: counted figures against DeepSpeed's estimators and real tensors; recipes fit the GPUs that they name."""

import re
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
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, Qwen3Config, Qwen3ForCausalLM
from trl import ModelConfig, TrlParser, get_peft_config
from trl.kernels import chunked_logprob
from trl.trainer import utils as trainer_utils

from egpo_trl import EGPOConfig
from egpo_trl.cli import main
from egpo_trl.grpo.packed_forward import PassCost
from egpo_trl.runs.model_shapes import config_of_size, parameters_of
from egpo_trl.runs.plan_time import GPUS, seconds_of_step
from egpo_trl.runs.planner import (
    LOGITS_TILE,
    Plan,
    describe,
    make_plan,
    measure_model,
    memory,
    model_states,
    remedies,
    total,
)
from egpo_trl.runs.script_arguments import EGPOScriptArguments
from tests.tiny import tiny_model

CONFIGS = Path(__file__).parents[2] / "configs"


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

COST = PassCost(token=1e6, pair=1.0)


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


def kept_bytes(layers: int, checkpointing: bool, tokens: int) -> int:
    """Bytes that autograd keeps between forward and backward pass of the body, parameters left out."""
    model = Qwen3ForCausalLM(small_qwen3(layers)).bfloat16().train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept.setdefault(storage.data_ptr(), storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.model(input_ids=torch.ones(2, tokens // 2, dtype=torch.long), use_cache=False)
    return sum(storage.nbytes() for pointer, storage in kept.items() if pointer not in own)


def small_qwen3(layers: int) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=512, hidden_size=256, intermediate_size=768, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, head_dim=64,
    )  # fmt: skip


def test_activations_are_those_of_real_tensors():
    """What a further block keeps, with and without checkpointing."""
    tokens = 512
    size = measure_model(small_qwen3(4))
    for checkpointing, tolerance in ((False, 0.15), (True, 0.0)):
        measured = (kept_bytes(6, checkpointing, tokens) - kept_bytes(2, checkpointing, tokens)) / 4
        parts = [
            memory(replace(size, layers=layers), replace(BASE, tokens=tokens // 2, checkpointing=checkpointing), 1e9)
            for layers in (6, 2)
        ]
        six, two = (part["  training: activations"] for part in parts)
        assert (six - two) / 4 == pytest.approx(measured, rel=tolerance)
        if not checkpointing:
            assert (six - two) / 4 >= measured  # on the safe side


@pytest.mark.parametrize("nested", [False, True])
def test_a_quantized_base_is_that_of_real_tensors(tmp_path, nested):
    Qwen3ForCausalLM(small_qwen3(2)).bfloat16().save_pretrained(tmp_path)
    options = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=nested)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16, quantization_config=options)
    states = [p.quant_state for p in model.parameters() if hasattr(p, "quant_state")]
    constants = sum(state.absmax.nbytes + (state.state2.absmax.nbytes if nested else 0) for state in states)
    held = sum(p.nbytes for p in model.parameters()) + constants
    plan = replace(BASE, adapters=True, bits=4, nested=nested, dtype_bytes=2)
    assert memory(measure_model(model.config), plan, 1e9)["parameters"] == pytest.approx(held, rel=1e-3)


def test_the_tile_of_logits_is_that_of_trl():
    assert (chunked_logprob.TOKEN_CHUNK_SIZE, trainer_utils._CHUNKED_LOGPROB_CHUNK_SIZE) == LOGITS_TILE


def test_qwen3_4b_by_hand():
    """Figures of config.json, calculated with a pencil: 36 blocks of width 2,560 with 32 heads of 128 and 8 pairs of
    keys and values, 9,728 inside, 151,936 tokens; two sequences of 5,000 tokens."""
    size = measure_model(MODELS["Qwen/Qwen3-4B-Instruct-2507"])
    plan = replace(BASE, dtype_bytes=2, micro_batch=2, tokens=5_000, rollouts=16)
    checkpointed = memory(size, plan, 80e9)
    block = 10_000 * 2 * (8 * 2_560 + 8 * 4_096 + 2.5 * 2_048 + 4 * 9_728)  # 1.95 GB
    assert checkpointed["  training: activations"] == 10_000 * 2 * 2_560 * 36 + block
    assert memory(size, replace(plan, checkpointing=False), 80e9)["  training: activations"] == 36 * block
    assert checkpointed["  generating: KV cache"] == 16 * 5_000 * 2 * 36 * 2_048  # 11.8 GB
    assert checkpointed["  generating: logits"] == 16 * 4 * 151_936
    assert checkpointed["  training: logits"] == 4 * 151_936 * 2_560 + 2 * 4_096 * 32_768  # 1.56 and 0.27 GB
    short = memory(size, replace(plan, micro_batch=1, tokens=1_000), 80e9)
    assert short["  training: logits"] == 4 * 151_936 * 2_560 + 2 * 1_000 * 32_768

    vllm = memory(size, replace(plan, vllm="colocate", vllm_share=0.3), 80e9)
    assert vllm["vLLM"] == 0.3 * 80e9
    assert not [name for name in vllm if "generating" in name]
    server = memory(size, replace(plan, vllm="server"), 80e9)
    assert total(vllm) - total(server) == pytest.approx(24e9)

    lora = LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
    # q: 2,560 + 4,096; k and v: 2,560 + 1,024 each; o: 4,096 + 2,560; gate, up and down: 2,560 + 9,728 each
    adapter = 36 * 16 * (6_656 + 2 * 3_584 + 6_656 + 3 * 12_288)
    size = measure_model(MODELS["Qwen/Qwen3-4B-Instruct-2507"], lora)
    assert size.adapter == adapter == 33_030_144
    linear = 36 * (2 * 2_560 * 4_096 + 2 * 2_560 * 1_024 + 3 * 2_560 * 9_728)
    assert size.linear == linear
    for bits, of_linear in ((16, 2 * linear), (8, linear), (4, linear / 2 + 4 * linear / 64)):
        parts = memory(size, replace(plan, adapters=True, bits=bits), 80e9)
        rest = 2 * (4_022_468_096 - linear)
        assert parts["parameters"] == of_linear + rest + 4 * adapter
        assert (parts["gradients"], parts["optimizer states"]) == (4 * adapter, 8 * adapter)


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
    config = MODELS[model_args.model_name_or_path]
    size = measure_model(config, get_peft_config(model_args))
    plan = make_plan(args, model_args, config, {**accelerate_config, "num_processes": processes}, prompt_length=1024)
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


DDP = ["--accelerate_config", str(CONFIGS / "accelerate" / "ddp.yaml")]  # 8 processes


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # 8 rollouts on 8 processes are one group, though one process alone would have 1
        ([*DDP, "--per_device_train_batch_size", "1"], r"ddp on 8 GPU\(s\) .*; 1 rollouts of"),
        # 64 / (8 processes x 2) = 4 steps a generation
        ([*DDP, "--per_device_train_batch_size", "2", "--generation_batch_size", "64"], r"; 8 rollouts of"),
        (["--num_processes", "2"], r"ddp on 2 GPU\(s\)"),
    ],
)
def test_rollouts_are_counted_over_the_processes_of_the_plan(capsys, options, expected):
    main(["plan", "--config", str(CONFIGS / "train" / "quickstart.yaml"), *options])
    assert re.search(expected, capsys.readouterr().out)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", [], "must hold lines of the form"),
        ("num_processes: 2", [], "names no distributed_type"),
        ("a: [", [], "not valid YAML"),
        (None, ["--num_processes", "0"], "'0' is not a whole number from 1 up"),
        (None, ["--egpo_lamda", "1"], "did you mean 'egpo_lambda'"),
        (None, [*DDP, "--per_device_train_batch_size", "1", "--num_processes", "4"], r"x 4 processes x"),
    ],
)
def test_a_plan_of_bad_input_is_one_message(tmp_path, text, options, message):
    if text is not None:
        (tmp_path / "engine.yaml").write_text(text)
        options = ["--accelerate_config", str(tmp_path / "engine.yaml")]
    with pytest.raises(SystemExit, match=message):
        main(["plan", "--config", str(CONFIGS / "train" / "quickstart.yaml"), *options])


@pytest.mark.parametrize(("text", "billions"), [("0.6B", 0.6), ("1.7b", 1.7), ("4B", 4.0), ("8B", 8.2), ("14B", 14.0), ("32B", 32.0), ("70B", 70.0), ("600M", 0.6), ("3e6", 0.003)])  # fmt: skip
def test_a_shape_of_a_size(text, billions):
    config = config_of_size(parameters_of(text))
    found = measure_model(config).parameters / 1e9
    assert found == pytest.approx(billions, rel=0.15) or billions < 0.02
    assert config.num_hidden_layers >= 1


@pytest.mark.parametrize("text", ["", "x", "1.7X", "-1B", "0", "1e99", "B", "1.2.3B"])
def test_what_is_not_a_size(text):
    with pytest.raises(ValueError, match="is not a number of parameters such as"):
        parameters_of(text)


def test_plans_without_the_hub(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    main(["plan", "--config", "qlora_t4", "--params", "1.7B", "--gpu", "T4"])
    shown = capsys.readouterr().out
    assert "of 13.8 usable" in shown
    assert re.search(r"A step on T4: \d+ s or more", shown)
    MODELS["Qwen/Qwen3-0.6B"].save_pretrained(tmp_path)
    for place in (tmp_path, tmp_path / "config.json"):
        main(["plan", "--model_config", str(place)])
        assert "0.60 billion parameters" in capsys.readouterr().out
    (tmp_path / "config.json").write_text('{"model_type": "unheard_of"}')
    with pytest.raises(SystemExit):
        main(["plan", "--model_config", str(tmp_path)])


@pytest.mark.parametrize(
    ("changes", "tokens"),
    [
        ({}, 8 * 100),
        ({"group": 8, "sharing": COST}, 60 + 8 * (40 + 1) - 1),  # each row begins with a copy of the last shared token
        ({"group": 4, "sharing": COST}, 2 * (60 + 4 * (40 + 1) - 1)),
        ({"group": 4, "micro_batch": 2, "sharing": COST}, 60 + 2 * (40 + 1) - 1),
        ({"group": 8, "prompt": 1, "sharing": COST}, 8 * 100),  # not worth it
        ({"token_limit": 250}, 250),
        ({"token_limit": 50}, 100),  # a row is computed whole
        ({"token_limit": 5000, "group": 8, "sharing": COST}, 387),
    ],
)
def test_shared_prefixes_and_a_limit_of_tokens(changes, tokens):
    plan = replace(BASE, **{"micro_batch": 8, "tokens": 100, "prompt": 60, **changes})
    assert plan.pass_tokens() == tokens
    assert memory(measure_model(MODELS["Qwen/Qwen3-0.6B"]), plan, 80e9)["  training: activations"] > 0


SHARING = [
    ({}, {}, True),
    ({"share_prefixes": "never"}, {}, False),
    ({"share_prefixes": "always"}, {"attn_implementation": "flash_attention_2"}, True),
    ({}, {"attn_implementation": "flash_attention_2"}, False),
    ({}, {"attn_implementation": "eager"}, True),
    ({"torch_compile": True}, {}, False),
]


@pytest.mark.parametrize(("fields", "model_fields", "shares"), SHARING)
def test_prefixes_are_shared_in_the_plan_where_the_trainer_shares_them(fields, model_fields, shares, tmp_path):
    args = EGPOConfig(str(tmp_path), num_generations=8, per_device_train_batch_size=8, use_cpu=True, **fields)
    engine = {"distributed_type": "NO", "num_processes": 1}
    plan = make_plan(args, ModelConfig(**model_fields), MODELS["Qwen/Qwen3-0.6B"], engine, 600)
    assert (plan.sharing is not None) == shares
    assert (plan.pass_tokens() < 8 * plan.tokens) == shares
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}  # reads the length: not exact in a pack
    config = Qwen3Config(**{**MODELS["Qwen/Qwen3-0.6B"].to_dict(), "rope_parameters": rope})
    if args.share_prefixes == "auto":
        assert make_plan(args, ModelConfig(**model_fields), config, engine, 600).sharing is None


def test_the_time_of_a_step_grows_with_what_is_read_and_computed():
    size = measure_model(MODELS["Qwen/Qwen3-0.6B"])
    plan = replace(BASE, tokens=1000, prompt=500, step_rollouts=64, micro_batch=8, rollouts=64)
    generation, update = seconds_of_step(size, plan, GPUS["H100"])
    slower = seconds_of_step(size, plan, GPUS["T4"])
    assert slower[0] == pytest.approx(generation * 3350 / 320)
    assert slower[1] == pytest.approx(update * 989 / 65)
    halved = seconds_of_step(size, replace(plan, rollouts=32), GPUS["H100"])
    assert halved[0] > generation
    assert seconds_of_step(size, replace(plan, group=8, sharing=COST), GPUS["H100"])[1] < update
    by_hand = 8 * size.parameters * 64 * 1000 / (0.4 * 989e12)  # backward and two forward passes
    assert update == pytest.approx(by_hand)
