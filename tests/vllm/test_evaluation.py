"""Evaluation with vLLM in this process: the completions of transformers, with and without an adapter; cleaning with it."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from egpo_trl.cli import main
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


def test_rows_are_cleaned_by_a_judge_in_this_process(tmp_path, record_property):
    """The judge's replies, and with them the verdicts, are those of transformers; the policy is not a judge, so rows may go."""
    (tmp_path / "system.txt").write_text("Judge the answer.")
    (tmp_path / "user.txt").write_text("$conversation $tools $answer")  # the packaged one is longer than the context

    def cleaned(backend: str, *engine: str) -> tuple[dict[str, object], list[str], list[int]]:
        folder = tmp_path / backend
        main([
            "clean", "--dataset_name", "demo", "--num_demo_rows", "6", "--output_dir", str(folder), "--output_format", "jsonl",
            "--backend", backend, "--model", "demo", "--max_completion_length", "96", "--on_judge_failure", "drop",
            "--system_prompt_file", str(tmp_path / "system.txt"), "--user_prompt_file", str(tmp_path / "user.txt"), *engine,
        ])  # fmt: skip
        dropped = [json.loads(line) for line in (folder / "dropped.jsonl").read_text().splitlines()]
        asked = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()[1:]]
        counts = json.loads((folder / "manifest.json").read_text())["counts"]
        return (
            counts,
            [row["detail"] for row in dropped],
            [row["tokens"] for row in sorted(asked, key=lambda row: row["row"])],
        )

    counts, details, tokens = cleaned("vllm", "--vllm_kwargs", json.dumps({**ENGINE, "max_model_len": 1024}))
    record_property("rows that a judge in this process cleaned", counts["llm"])
    assert counts["input"]["rows"] == len(tokens) == 6
    theirs = cleaned("transformers")
    assert (counts, details) == theirs[:2]
    assert tokens == pytest.approx(theirs[2], rel=0.02)  # a tie between two tokens may fall either way
