"""A model in this process: lengths, adapters, templates, and what tells two models apart."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows
from egpo_trl.evaluation.evaluate import evaluate
from egpo_trl.evaluation.row_suites import DemoSuite
from egpo_trl.sampling.backends import make_sampler
from egpo_trl.sampling.config import EvaluationConfig
from egpo_trl.sampling.local_sampler import TransformersSampler
from egpo_trl.sampling.models import checksum_of
from egpo_trl.sampling.rendering import PromptRenderer
from egpo_trl.sampling.sampler import Request
from egpo_trl.utils.journal import JournalError


def config(model, output, **fields):
    return EvaluationConfig(
        model_name_or_path=str(model),
        output_dir=str(output),
        **{"max_completion_length": 48, "dtype": "float32", **fields},
    )


def texts(model, output, **fields):
    evaluate(DemoSuite(num_demo_rows=6), config(model, output, **fields))
    lines = (output / "completions.jsonl").read_text().splitlines()[1:]
    return {(one["item"], one["sample"]): one["completion"]["text"] for one in map(json.loads, lines)}


def adapter(folder, change):
    base = AutoModelForCausalLM.from_pretrained(demo_policy_path(), dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # zero as it begins: the adapter changes nothing
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=change)
    model.save_pretrained(folder)
    return model


def test_an_adapter_is_evaluated_with_its_base(tmp_path):
    base = texts("demo", tmp_path / "base")
    adapter(tmp_path / "zero", 0.0)
    assert texts(tmp_path / "zero", tmp_path / "zero-run") == base
    changed = adapter(tmp_path / "changed", 0.3)
    with_adapter = texts(tmp_path / "changed", tmp_path / "changed-run")
    assert with_adapter != base
    changed.merge_and_unload().save_pretrained(tmp_path / "merged")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / "merged" / name).write_bytes((demo_policy_path() / name).read_bytes())
    assert texts(tmp_path / "merged", tmp_path / "merged-run") == with_adapter
    identity = json.loads((tmp_path / "changed-run" / "summary.json").read_text())["sampling"]
    assert identity["adapter"] is True
    assert identity["files"] != json.loads((tmp_path / "zero-run" / "summary.json").read_text())["sampling"]["files"]


def test_a_model_that_was_trained_on_is_another_model(tmp_path):
    adapter(tmp_path / "model", 0.0)
    texts(tmp_path / "model", tmp_path / "run")
    adapter(tmp_path / "model", 0.1)
    with pytest.raises(JournalError, match="belongs to another run: files was"):
        texts(tmp_path / "model", tmp_path / "run")
    assert checksum_of("some/model-on-the-hub") is None


@pytest.fixture
def short_model(tmp_path_factory):
    """The embedded policy with a context of 120 tokens."""
    folder = tmp_path_factory.mktemp("short")
    for file in demo_policy_path().iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 120}))
    return folder


def test_lengths(short_model, tmp_path):
    sampler = make_sampler(config(short_model, tmp_path))
    assert isinstance(sampler, TransformersSampler)
    plain = sampler.prompts.tokenizer
    ids = plain("hello ").input_ids
    exact = {n: {"prompt": plain.decode(ids * n)} for n in (1, 40, 58, 59, 60, 61)}
    found = dict(sampler.sample([Request(row) for row in exact.values()]))
    lengths = [len(plain(row["prompt"]).input_ids) for row in exact.values()]
    assert lengths[-2] == 120
    for index, length in enumerate(lengths):
        completion = found[index]
        assert completion.num_prompt_tokens == length
        if length >= 120:
            assert (completion.finish_reason, completion.text) == ("prompt_too_long", "")
        else:
            assert len(completion.completion_ids) <= min(48, 120 - length)
            assert (completion.finish_reason == "stop") == (completion.completion_ids[-1] == plain.eos_token_id)
            assert completion.finish_reason != "length" or len(completion.completion_ids) == min(48, 120 - length)
    alone = dict(sampler.sample([Request(exact[58])]))[0]
    assert alone == found[2]


def test_prompts_that_are_too_long_are_counted(short_model, tmp_path):
    render = PromptRenderer(make_sampler(config("demo", tmp_path)).prompts)
    lengths = sorted(len(render(row)) for row in make_rows(12, split="test"))
    settings = json.loads((short_model / "config.json").read_text())
    (short_model / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": lengths[8]}))
    done = evaluate(DemoSuite(num_demo_rows=12), config(short_model, tmp_path, max_completion_length=2))
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    too_long = reasons.count("prompt_too_long")
    assert too_long == sum(length >= lengths[8] for length in lengths)
    assert any(
        note.startswith(f"{too_long} prompts are longer than the model's context") for note in done.summary.notes
    )
    assert done.summary.reasons
    assert "prompt_too_long" in (tmp_path / "summary.md").read_text()


def test_a_prompt_that_the_template_refuses(tmp_path):
    template = tmp_path / "template.jinja"
    template.write_text("{{ raise_exception('no') if messages[0].content == 'bad' else 'x' }}")
    sampler = make_sampler(config("demo", tmp_path, chat_template_path=str(template)))
    requests = [Request({"prompt": [{"role": "user", "content": content}]}) for content in ("good", "bad")]
    found = dict(sampler.sample(requests))
    assert found[0].finish_reason in ("stop", "length")
    assert found[1].finish_reason == "error"
    assert "the chat template does not render it: TemplateError: no" in found[1].text


def test_devices(tmp_path):
    with pytest.raises(ValueError, match="device: the model cannot be put on 'tpu-9'"):
        make_sampler(config("demo", tmp_path, device="tpu-9"))
    sampler = make_sampler(config("demo", tmp_path, dtype="bfloat16", device="cpu"))
    assert sampler.identity["dtype"] == "bfloat16"
    assert sampler.identity["backend"] == "transformers"
    sampler.close()
