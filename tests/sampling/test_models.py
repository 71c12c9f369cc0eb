"""Models: folders, checksums, adapters, chat templates, and their short names."""

import json

import pytest

from egpo_trl.demo.names import model_folder
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.sampling.backends import make_sampler
from egpo_trl.sampling.config import SamplingConfig
from egpo_trl.sampling.models import base_of_adapter, checksum_of


def test_short_names():
    assert model_folder("demo") == str(demo_policy_path())
    assert model_folder("demo-multiturn") == str(demo_policy_path("multi-turn"))
    assert model_folder("some/model") == "some/model"


def test_checksums_see_every_file_and_the_base(tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(10_000_000))
    first = checksum_of(str(folder))
    for name in ("optimizer.pt", "training_args.bin", "trainer_state.json", "summary.json", "completions.jsonl"):
        (folder / name).write_text("{}")
    assert checksum_of(str(folder)) == first
    (folder / "chat_template.jinja").write_text("{{ x }}")
    assert checksum_of(str(folder)) != first
    second = checksum_of(str(folder))
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "some/base"}))
    assert checksum_of(str(folder)) != second


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is broken"), ("{}", "base model of the adapter.*is None"), ("[]", "is broken"),
     ('{"base_model_name_or_path": "/gone"}', r"'/gone', which is not there.*egpo-trl merge")],
)  # fmt: skip
def test_adapters_without_a_base(tmp_path, content, message):
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        base_of_adapter(str(tmp_path))


def test_a_model_without_chat_template(tmp_path):
    for file in demo_policy_path().iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    for style in ("native", "paper"):
        with pytest.raises(ValueError, match=r"lacks a chat template.*--chat_template_path FILE.*egpo-trl sft"):
            make_sampler(SamplingConfig(model_name_or_path=str(tmp_path), prompt_style=style))
    template = str(demo_policy_path() / "chat_template.jinja")
    assert make_sampler(
        SamplingConfig(model_name_or_path=str(tmp_path), chat_template_path=template)
    ).prompts.tokenizer.chat_template
