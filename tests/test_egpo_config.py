"""Fields, validation, YAML and JSON round trips of the config."""

import json
import subprocess
import sys

import pytest
from trl import TrlParser

from egpo_trl import EGPOConfig


def make(tmp_path, **fields):
    return EGPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **fields)


def test_defaults_are_those_of_the_mission(tmp_path):
    config = make(tmp_path)
    assert (config.egpo_lambda, config.egpo_alpha) == (0.4, 2.0)
    assert (config.entropy_level, config.entropy_span) == ("token", "think")
    assert config.think_tags is None
    assert config.enable_thinking is None
    assert config.chat_template_kwargs is None  # prompts are those of GRPO


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"egpo_lambda": -0.1}, "egpo_lambda must be a number of at least 0"),
        ({"egpo_lambda": float("nan")}, "egpo_lambda must be a number of at least 0"),
        ({"egpo_lambda": float("inf")}, "egpo_lambda must be a number of at least 0"),
        ({"egpo_alpha": 1.0}, "egpo_alpha must be greater than 1"),
        ({"egpo_alpha": float("nan")}, "egpo_alpha must be greater than 1"),
        ({"entropy_level": "word"}, "entropy_level must be one of"),
        ({"entropy_span": "answer"}, "entropy_span must be one of"),
        ({"think_tags": ["<think>"]}, "think_tags must be two"),
        ({"think_tags": ["<think>", "<think>"]}, "think_tags must be two"),
        ({"think_tags": ["", "</think>"]}, "think_tags must be two"),
        ({"think_tags": [" ", "\n"]}, "think_tags must be two"),
        ({"think_tags": "ab"}, "think_tags must be two"),
        ({"egpo_lambda": None}, "egpo_lambda must be a number"),
        ({"egpo_alpha": "2"}, "egpo_alpha must be greater"),
        ({"enable_thinking": False}, "leaves no chain of thought"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "leaves no chain of thought"),
        (
            {"enable_thinking": True, "chat_template_kwargs": {"enable_thinking": False}},
            "contradicts chat_template_kwargs",
        ),
        # numbers of TRL and transformers, which neither of them checks
        ({"learning_rate": -1e-6}, "learning_rate must be at least 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be at least 0"),
        ({"learning_rate": "fast"}, "learning_rate must be at least 0, got 'fast'"),
        ({"beta": -1}, "beta must be at least 0"),
        ({"temperature": 0}, "temperature must be greater than 0"),
        ({"top_p": 2}, "top_p must be greater than 0 and at most 1"),
        ({"adam_beta1": 5}, "adam_beta1 must be at least 0 and below 1"),
        ({"max_steps": 0}, "max_steps must be an integer of at least 1"),
        ({"max_steps": 1.5}, "max_steps must be an integer of at least 1"),
        ({"num_generations": 0}, "num_generations must be an integer of at least 1"),
        ({"num_generations": True}, "num_generations must be an integer of at least 1"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size must be an integer of at least 1"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps must be an integer of at least 1"),
        ({"logging_steps": -3}, "logging_steps must be greater than 0"),
        ({"seed": "x"}, "seed must be at least 0, got 'x'"),
        ({"dataloader_num_workers": -1}, "dataloader_num_workers must be at least 0"),
        ({"max_completion_length": 0}, "max_completion_length must be an integer of at least 1"),
    ],
)
def test_one_clear_error(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path, **fields)


def test_thinking_off(tmp_path):
    for fields in ({"egpo_lambda": 0.0}, {"entropy_span": "completion"}):
        config = make(tmp_path, enable_thinking=False, **fields)
        assert config.chat_template_kwargs == {"enable_thinking": False}


def test_other_template_arguments_stay(tmp_path):
    config = make(tmp_path, chat_template_kwargs={"documents": []})
    assert config.chat_template_kwargs == {"documents": []}
    config = make(tmp_path, chat_template_kwargs={"documents": []}, enable_thinking=True)
    assert config.chat_template_kwargs == {"documents": [], "enable_thinking": True}


def test_yaml_flags_and_json(tmp_path):
    yaml = tmp_path / "run.yaml"
    yaml.write_text(
        "egpo_lambda: 0.2\nentropy_level: sequence\nthink_tags: ['<t>', '</t>']\nbf16: false\nuse_cpu: true\n"
    )
    flags = [
        "--config",
        str(yaml),
        "--egpo_alpha",
        "3",
        "--output_dir",
        str(tmp_path),
        "--chat_template_kwargs",
        '{"a": 1}',
    ]
    (config,) = TrlParser((EGPOConfig,)).parse_args_and_config(flags)
    assert (config.egpo_lambda, config.egpo_alpha, config.entropy_level) == (0.2, 3.0, "sequence")
    assert config.think_tags == ["<t>", "</t>"]
    assert config.chat_template_kwargs == {"a": 1}
    values = json.loads(config.to_json_string())
    fields = ("egpo_lambda", "egpo_alpha", "entropy_level", "entropy_span", "think_tags", "enable_thinking", "render_tools",
              "chat_template_kwargs")  # fmt: skip
    again = make(tmp_path, **{name: values[name] for name in fields})
    assert all(getattr(again, name) == getattr(config, name) for name in fields)
    (flagged,) = TrlParser((EGPOConfig,)).parse_args_and_config(
        ["--output_dir", str(tmp_path), "--use_cpu", "--bf16", "false", "--think_tags", "<a>", "</a>"]
    )
    assert flagged.think_tags == ["<a>", "</a>"]


def test_importing_the_package_is_light():
    code = "import sys, egpo_trl; assert 'torch' not in sys.modules and 'trl' not in sys.modules; egpo_trl.EGPOConfig"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name():
    import egpo_trl

    with pytest.raises(AttributeError, match="does not export 'Nothing'"):
        _ = egpo_trl.Nothing
    assert "EGPOTrainer" in dir(egpo_trl)
