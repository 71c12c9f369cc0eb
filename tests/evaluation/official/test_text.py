"""What official scorers see of completions."""

import pytest

from egpo_trl.evaluation.official.text import MAX_CHARACTERS, OfficialText
from egpo_trl.sampling.completion import Completion
from egpo_trl.sampling.sampler import PromptFormat
from egpo_trl.tool_calls.named_calls import write_calls

CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1, "b": true, "c": null}}\n</tool_call>'
TOOLS = '[{"name": "f", "parameters": {}}]'
WRITTEN = "[f(a=1, b=True, c=None)]"


def seen(text, prompts=None):
    return OfficialText(prompts or PromptFormat(), write_calls).of(Completion(text), TOOLS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[f(a=1)]", "[f(a=1)]"),
        ("<think>x</think>\n[f(a=1)]", "\n[f(a=1)]"),
        ("x</think>[f(a=true)]", "[f(a=true)]"),  # the prompt had opened the block
        ("<think>never closed [f(a=1)]", ""),
        ("[f(a='</think>')]", "[f(a='</think>')]"),
        ("no call at all", "no call at all"),
        (CALL, WRITTEN),
        (f"<think>x</think>{CALL}", WRITTEN),
        (f"I call it. {CALL}", WRITTEN),
        ("<tool_call>{broken</tool_call>", "<tool_call>{broken</tool_call>"),
    ],
)
def test_native_calls_are_rewritten_and_everything_else_stays(text, expected):
    assert seen(text) == expected


def test_in_the_paper_s_style_the_answer_is_the_model_s_own():
    paper = PromptFormat(style="paper")
    assert seen("<think>x</think>[f(a=true)]", paper) == "[f(a=true)]"
    assert seen(CALL, paper) == CALL


def test_other_think_tags(tmp_path):
    prompts = PromptFormat(style="paper", think_tags=("<r>", "</r>"))
    assert seen("<r>x</r>[f()]", prompts) == "[f()]"
    assert seen("<think>x</think>[f()]", prompts) == "<think>x</think>[f()]"


def test_what_the_official_files_cannot_hold_is_replaced():
    assert seen("[f(a='\x00\x1b\ud800b\n')]") == "[f(a='\ufffd\ufffd\ufffdb\n')]"
    assert seen("x" * MAX_CHARACTERS) == "x" * MAX_CHARACTERS
    assert seen("x" * (MAX_CHARACTERS + 1)) == ""


def test_with_a_tokenizer_its_template_says_where_the_thought_begins(qwen3_tokenizer, deepseek_tokenizer):
    opens, prefilled = PromptFormat(tokenizer=qwen3_tokenizer), PromptFormat(tokenizer=deepseek_tokenizer)
    assert seen("x</think>f", opens) == "x</think>f"
    assert seen("x</think>f", prefilled) == "f"
    assert seen("[f(a='</think>')]", opens) == "[f(a='</think>')]"
    assert seen(f"<think>x</think>{CALL}", opens) == WRITTEN
    assert seen(f"x</think>{CALL}", prefilled) == CALL  # this template shows no Hermes calls
