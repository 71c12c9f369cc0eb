"""The tiny policy and its tokenizer."""

import json
import random

import pytest
import torch
import warm_start
from demonstrations import demonstrate
from transformers import AutoModelForCausalLM, AutoTokenizer

from egpo_trl import ToolCallReward
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import TOOLS, make_queries, make_rows
from egpo_trl.evaluation.exact_match import exact_match, judge_rows


@pytest.fixture(scope="module")
def policy():
    path = demo_policy_path()
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32), AutoTokenizer.from_pretrained(path)


def render(tokenizer, messages, tools=None, **kwargs):
    return tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, **kwargs)


def test_text_survives_the_tokenizer(tiny_tokenizer):
    rng = random.Random(0)
    for query in make_queries(200, 0, "test"):
        row = query.row("x")
        text = render(tiny_tokenizer, row["prompt"], json.loads(row["tools"]), add_generation_prompt=True)
        text += demonstrate(rng, query)
        assert tiny_tokenizer.decode(tiny_tokenizer.encode(text)) == text
    for text in ("Größe 東京 🙂", "x  y\n\n\tz", "<think></think>", '{"a": [1, 2]}'):
        assert tiny_tokenizer.decode(tiny_tokenizer.encode(text)) == text


def test_tags_and_values_are_single_tokens(tiny_tokenizer):
    for text in (
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "convert_currency",
        "Tokyo",
        "750",
        "fahrenheit",
    ):
        assert len(tiny_tokenizer.encode(text)) == 1


def test_the_template(tiny_tokenizer):
    tools = json.loads(make_rows(1)[0]["tools"])
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    text = render(
        tiny_tokenizer,
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "", "reasoning_content": "so", "tool_calls": [call, call]},
            {"role": "tool", "content": "7"},
        ],
        tools,
        add_generation_prompt=True,
    )
    assert text.startswith("<|im_start|>system\nBe brief.\n")
    assert all(f"{tool['function']['name']}(" in text for tool in tools)
    every = render(tiny_tokenizer, [{"role": "user", "content": "hi"}], [tool.schema() for tool in TOOLS])
    assert "get_weather(city: string, unit?: celsius|fahrenheit, days?: integer)" in every
    assert text.count('<tool_call>\n{"name":"f","arguments":{"a":1}}\n</tool_call>') == 2
    assert "<tool_response>\n7\n</tool_response>" in text
    assert text.endswith("<|im_start|>assistant\n")
    off = render(
        tiny_tokenizer, [{"role": "user", "content": "hi"}], add_generation_prompt=True, enable_thinking=False
    )
    assert off.endswith("<think>\n\n</think>\n\n")


def test_the_shipped_policy_has_something_to_learn(policy):
    """Exact match at temperature 1 between 20 and 50 %, on a sample with room for its error."""
    model, tokenizer = policy
    judged = judge_rows(
        model,
        tokenizer,
        make_rows(150, 1, "test"),
        ToolCallReward(),
        temperature=1.0,
        max_new_tokens=112,
        batch_size=75,
    )
    assert 0.18 < exact_match(judged)["all"] < 0.52


def test_the_shipped_policy_is_small_and_safe():
    files = list(demo_policy_path().iterdir())
    assert sum(file.stat().st_size for file in files) < 4 * 2**20
    assert {file.suffix for file in files} <= {".json", ".jinja", ".safetensors"}


def test_the_shipped_tokenizer_is_the_one_that_the_source_builds(policy, tiny_tokenizer):
    assert policy[1].get_vocab() == tiny_tokenizer.get_vocab()
    assert policy[1].chat_template == tiny_tokenizer.chat_template


def test_the_build_is_reproducible(tmp_path, monkeypatch):
    monkeypatch.setattr(warm_start, "TRAIN_QUERIES", 200)
    for name in ("a", "b"):
        warm_start.main(["--output_dir", str(tmp_path / name), "--steps", "3", "--copy_steps", "2"])
    a, b = (AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict() for name in ("a", "b"))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert AutoTokenizer.from_pretrained(tmp_path / "a").chat_template
