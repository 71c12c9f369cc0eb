"""Evaluation with vLLM in this process: the completions of transformers, with and without an adapter."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows
from egpo_trl.evaluation.evaluate import make_sampler
from egpo_trl.sampling.config import EvaluationConfig
from egpo_trl.sampling.sampler import Request

ENGINE = {"max_model_len": 512, "gpu_memory_utilization": 0.1}
ROWS = make_rows(60, split="test")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """Folder of an adapter that changes what the policy says."""
    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(demo_policy_path(), dtype=torch.float32)
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    model = get_peft_model(base, lora)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(0.3 if "lora_" in name else 1.0)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(demo_policy_path()).save_pretrained(folder)
    return folder


def completions(backend: str, model: str, folder) -> list[str]:
    options = {"vllm_kwargs": ENGINE} if backend == "vllm" else {}
    config = EvaluationConfig(
        model_name_or_path=model,
        output_dir=str(folder),
        backend=backend,
        dtype="float32",
        max_completion_length=96,
        temperature=0.0,
        **options,
    )
    sampler = make_sampler(config)
    found = dict(sampler.sample([Request(row) for row in ROWS]))
    sampler.close()
    return [found[place].text for place in range(len(ROWS))]


@pytest.mark.parametrize("adapted", [False, True], ids=["policy", "adapter"])
def test_greedy_completions_are_those_of_transformers(adapted, adapter, tmp_path, record_property):
    model = str(adapter) if adapted else "demo"
    ours, theirs = (completions(backend, model, tmp_path) for backend in ("vllm", "transformers"))
    equal = sum(one == other for one, other in zip(ours, theirs, strict=True))
    record_property(f"greedy completions equal, {'adapter' if adapted else 'policy'}", f"{equal} of {len(ROWS)}")
    assert equal >= 59  # a tie between two tokens may fall either way
    assert all("<think>" in text for text in ours)
    if adapted:
        assert ours != completions("transformers", "demo", tmp_path)
