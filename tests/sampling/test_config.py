"""Fields that say which model is sampled, and how."""

import dataclasses

import pytest

from egpo_trl.cleaning import CleaningConfig
from egpo_trl.sampling.config import EndpointConfig, EvaluationConfig


def test_cleaning_and_evaluation_ask_alike():
    shared = {field.name: field.default for field in dataclasses.fields(EndpointConfig)}
    for kind in (CleaningConfig, EvaluationConfig):
        fields = {field.name: field.default for field in dataclasses.fields(kind)}
        assert {name: fields[name] for name in shared} == shared
    assert CleaningConfig(output_dir="o", chat_template_kwargs='{"a": 1}').template_kwargs == {"a": 1}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_samples": 2, "temperature": 0.0}, "greedy samples are all equal"),
        ({"num_samples": 0}, "num_samples must be at least 1"),
        ({"backend": "jax"}, "backend must be one of transformers, vllm, openai"),
        ({"top_p": 0.0}, "top_p must be above 0"),
        ({"request_timeout": 0}, "request_timeout must be positive"),
        ({"think_tags": ["<think>"]}, "an opening and a closing tag"),
        ({"chat_template_kwargs": "{"}, "chat_template_kwargs must be a JSON object"),
        ({"vllm_kwargs": "[1]"}, "vllm_kwargs must be a JSON object"),
        ({"backend": "openai", "endpoint_api": "completions"}, "name the model's tokenizer"),
        ({"base_url": "http://me:secret@host/v1"}, "must not hold credentials"),
        ({"prompt_style": "paper", "chat_template_kwargs": '{"enable_thinking": false}'}, "contradicts"),
    ],
)
def test_fields_out_of_range(fields, message):
    with pytest.raises(ValueError, match=message):
        EvaluationConfig(
            **{"model_name_or_path": "m", "output_dir": "out", "temperature": 1.0, "num_samples": 3, **fields}
        )
    with pytest.raises(ValueError, match="output_dir must name a folder"):
        EvaluationConfig(model_name_or_path="m", output_dir="")
