"""The vLLM back end against a stand-in with its signatures, without vLLM; tests/vllm runs the real one."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows
from egpo_trl.evaluation.evaluate import evaluate
from egpo_trl.evaluation.row_suites import DemoSuite
from egpo_trl.sampling import vllm_sampler
from egpo_trl.sampling.backends import make_sampler
from egpo_trl.sampling.config import EvaluationConfig
from egpo_trl.sampling.rendering import PromptRenderer
from egpo_trl.sampling.sampler import Request


class SamplingParams:
    def __init__(
        self, *, n=1, temperature=1.0, top_p=1.0, top_k=0, seed=None, stop_token_ids=None, max_tokens=16,
        detokenize=True, skip_special_tokens=True,
    ):  # fmt: skip
        self.__dict__.update({name: value for name, value in locals().items() if name != "self"})


class LoRARequest:
    def __init__(self, lora_name, lora_int_id, lora_path=""):
        self.name, self.id, self.path = lora_name, lora_int_id, lora_path


class LLM:
    made: "list[LLM]" = []  # noqa: RUF012

    def __init__(
        self, model, *, tokenizer=None, trust_remote_code=False, tensor_parallel_size=1, dtype="auto", revision=None,
        seed=0, gpu_memory_utilization=0.9, enable_lora=False, max_lora_rank=16, max_model_len=None,
    ):  # fmt: skip
        self.options = {name: value for name, value in locals().items() if name != "self"}
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=max_model_len or 1024))
        self.calls = []
        LLM.made.append(self)

    def generate(self, prompts, sampling_params=None, *, use_tqdm=True, lora_request=None):
        assert len(prompts) == len(sampling_params)
        self.calls.append((prompts, sampling_params, lora_request, use_tqdm))
        outputs = []
        for prompt, parameters in zip(prompts, sampling_params, strict=True):
            ids = [parameters.seed % 50 + 9] * min(3, parameters.max_tokens)
            ids += parameters.stop_token_ids[-1:] if parameters.max_tokens > 3 else []
            one = SimpleNamespace(index=0, text="", token_ids=ids, finish_reason="stop")
            outputs.append(SimpleNamespace(prompt_token_ids=prompt["prompt_token_ids"], outputs=[one]))
        return outputs


@pytest.fixture
def vllm(monkeypatch):
    module, lora, request = ModuleType("vllm"), ModuleType("vllm.lora"), ModuleType("vllm.lora.request")
    module.LLM, module.SamplingParams, request.LoRARequest = LLM, SamplingParams, LoRARequest
    for name, value in (("vllm", module), ("vllm.lora", lora), ("vllm.lora.request", request)):
        monkeypatch.setitem(sys.modules, name, value)
    LLM.made.clear()


def config(folder, **fields):
    return EvaluationConfig(model_name_or_path="demo", output_dir=str(folder), backend="vllm", **fields)


def test_what_vllm_is_given(vllm, monkeypatch, tmp_path):
    monkeypatch.setattr(vllm_sampler, "_CHUNK", 4)
    kwargs = '{"gpu_memory_utilization": 0.5, "max_model_len": 200}'
    sampler = make_sampler(
        config(tmp_path, temperature=0.7, top_p=0.9, dtype="bfloat16", vllm_kwargs=kwargs, max_completion_length=90)
    )
    (llm,) = LLM.made
    assert llm.options["model"] == str(demo_policy_path())
    assert (llm.options["dtype"], llm.options["gpu_memory_utilization"]) == ("bfloat16", 0.5)
    assert llm.options["enable_lora"] is False
    rows = [*make_rows(6), {"prompt": "hello " * 100}]
    found = dict(sampler.sample([Request(row, seed) for seed, row in enumerate(rows)]))
    assert [len(prompts) for prompts, *_ in llm.calls] == [4, 2]
    render, end = PromptRenderer(sampler.prompts), sampler.prompts.tokenizer.eos_token_id
    prompts = [prompt["prompt_token_ids"] for call in llm.calls for prompt in call[0]]
    assert prompts == [render(row) for row in rows[:6]]
    for seed, parameters in enumerate(one for call in llm.calls for one in call[1]):
        assert (parameters.temperature, parameters.top_p, parameters.top_k, parameters.seed) == (0.7, 0.9, -1, seed)
        assert parameters.max_tokens == min(90, 200 - len(prompts[seed]))
        assert end in parameters.stop_token_ids
        assert found[seed].completion_ids == (seed + 9,) * 3 + (end,)
        assert found[seed].text == sampler.prompts.tokenizer.decode([seed + 9] * 3)
    assert found[6].finish_reason == "prompt_too_long"
    assert all(call[2] is None and call[3] is False for call in llm.calls)
    sampler.close()


def test_adapters_are_vllms_own(vllm, tmp_path):
    (tmp_path / "adapter_config.json").write_text(
        f'{{"base_model_name_or_path": "{demo_policy_path()}", "peft_type": "LORA", "r": 64, "task_type": "CAUSAL_LM", '
        '"rank_pattern": {"q_proj": 128}}'
    )
    sampler = make_sampler(
        EvaluationConfig(model_name_or_path=str(tmp_path), output_dir=str(tmp_path), backend="vllm")
    )
    assert LLM.made[0].options["model"] == str(demo_policy_path())
    assert (LLM.made[0].options["enable_lora"], LLM.made[0].options["max_lora_rank"]) == (True, 128)
    list(sampler.sample([Request(make_rows(1)[0])]))
    assert LLM.made[0].calls[0][2].path == str(tmp_path)
    assert sampler.identity["adapter"] is True


@pytest.mark.parametrize(("rank", "room"), [(1, 8), (8, 8), (20, 32), (129, 256), (600, 600)])
def test_the_room_for_an_adapter_is_one_that_vllm_knows(tmp_path, rank, room):
    (tmp_path / "adapter_config.json").write_text(f'{{"peft_type": "LORA", "r": {rank}, "task_type": "CAUSAL_LM"}}')
    assert vllm_sampler._rank(str(tmp_path)) == room


def test_a_whole_run(vllm, tmp_path):
    done = evaluate(DemoSuite(num_demo_rows=5), config(tmp_path))
    assert done.summary.rows[-1].n == 5
    assert "Back end vllm" in " ".join(done.summary.notes)


def test_without_vllm(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ValueError, match=r"backend vllm needs vLLM: pip install 'egpo-trl\[vllm\]'"):
        make_sampler(config(tmp_path))
