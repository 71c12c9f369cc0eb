"""Response templates for chat templates that TRL does not know."""

import copy

import pytest

from egpo_trl.rollouts.response_templates import ensure_response_template, parsing_what_is_written, turn_template
from tests.conftest import trl_template
from tests.scripted import deepseek

CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": [1, {"b": "x"}]}}}
WRITTEN = '<tool_call>\n{"name": "f", "arguments": {"a": [1, {"b": "x"}]}}\n</tool_call>'


def prompt_of(tokenizer, **kwargs):
    message = [{"role": "user", "content": "?"}]
    return tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False, **kwargs)


def test_the_embedded_template(tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    ensure_response_template(tokenizer)
    prefix = prompt_of(tokenizer)
    parsed = tokenizer.parse_response(f"<think>why</think>\n\n{WRITTEN}\n{WRITTEN}<|im_end|>", prefix=prefix)
    assert parsed == {"role": "assistant", "reasoning_content": "why", "tool_calls": [CALL, CALL]}
    parsed = tokenizer.parse_response("<think>why</think>\n\nDone.<|im_end|>", prefix=prefix)
    assert (parsed["reasoning_content"], parsed["content"]) == ("why", "Done.")
    prefix = prompt_of(tokenizer, enable_thinking=False)
    assert tokenizer.parse_response(f"{WRITTEN}<|im_end|>", prefix=prefix)["tool_calls"] == [CALL]


def test_a_prefilled_template(deepseek_tokenizer):
    tokenizer = deepseek(deepseek_tokenizer).tokenizer
    ensure_response_template(tokenizer)
    assert tokenizer.response_template["start_anchor"] == "<｜Assistant｜>"
    parsed = tokenizer.parse_response(f"why</think>{WRITTEN}<｜end▁of▁sentence｜>", prefix=prompt_of(tokenizer))
    assert parsed == {"role": "assistant", "reasoning_content": "why", "tool_calls": [CALL]}


def test_templates_that_have_one_are_left_alone(tiny_tokenizer):
    known = copy.deepcopy(tiny_tokenizer)
    known.chat_template = trl_template("qwen3")
    own = copy.deepcopy(tiny_tokenizer)
    own.response_template = turn_template(own)
    template = own.response_template
    pythonic = copy.deepcopy(tiny_tokenizer)
    pythonic.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    unread = copy.deepcopy(tiny_tokenizer)
    unread.chat_template = trl_template("muse_glimmer")
    for tokenizer in (known, own, pythonic, unread, None):
        ensure_response_template(tokenizer)
    assert getattr(known, "response_template", None) is None
    assert own.response_template is template
    assert getattr(pythonic, "response_template", None) is None
    assert getattr(unread, "response_template", None) is None


def test_without_think_tags_there_is_no_reasoning(tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.response_template = turn_template(tokenizer, ["<why>", "</why>"])
    parsed = tokenizer.parse_response(f"<why>x</why>{WRITTEN}<|im_end|>", prefix=prompt_of(tokenizer))
    assert (parsed["reasoning_content"], parsed["tool_calls"]) == ("x", [CALL])


def test_parsing_cannot_fail(tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.response_template = turn_template(tokenizer)
    deep = "<tool_call>" + "[" * 100_000 + "</tool_call>"
    with pytest.raises(RecursionError):
        tokenizer.parse_response(deep, prefix="")
    with parsing_what_is_written(tokenizer), pytest.raises(ValueError, match="RecursionError"):
        tokenizer.parse_response(deep, prefix="")
    with pytest.raises(RecursionError):
        tokenizer.parse_response(deep, prefix="")
