"""The reward: every shape TRL hands over, reasons, binding, and the flaws of other rewards that it must not have."""

import json
import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.rewards.tool_call import REASONS, ToolCallReward, tool_call_reward

TOOLS = json.dumps(
    [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}}}}]
)
CALL = json.dumps([{"name": "f", "arguments": {"a": 1}}])
HERMES = '<think>so f</think>\n\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
PYTHONIC = "<think>so f</think>\n[f(a=1)]"
TEXT = "<think>nothing</think>\nNo function fits."


def judge(completion, reference=CALL, reward=tool_call_reward, **kwargs):
    verdict = reward.judge(completion, reference, TOOLS, **kwargs)
    assert verdict.reason in REASONS
    assert (verdict.score == 1.0) is (verdict.reason == "correct")
    return verdict.reason


@pytest.mark.parametrize(
    ("completion", "reference", "reason"),
    [
        (HERMES, CALL, "correct"),
        (PYTHONIC, CALL, "correct"),
        (TEXT, "[]", "correct"),
        (HERMES, "[]", "call_instead_of_text"),
        (TEXT, CALL, "text_instead_of_call"),
        ("<think>so</think>[f(a=1", "[]", "malformed_call"),
        ("<think>so</think><tool_call>{", "[]", "malformed_call"),
        ("<think>so</think>", "[]", "empty_answer"),
        ("<think>so f", CALL, "unclosed_think_block"),
        ("<think>[f(a=1)]", CALL, "unclosed_think_block"),
        ("[f(a=1)]", CALL, "no_think_block"),
        ("</think>so<think>[f(a=1)]", CALL, "no_think_block"),
        ("x<think>so</think>[f(a=1)]", CALL, "no_think_block"),
        ("<think>so</think>[f(a=1)]<think>more</think>", CALL, "several_think_blocks"),
        ("<think>so</think><think>no</think>No function fits.", "[]", "several_think_blocks"),
        ("<think>so</think>[f(a=1)] done", CALL, "text_beside_calls"),
        ("<think>so</think>Sure: [f(a=1)]", CALL, "malformed_call"),
        (f"{HERMES} done", CALL, "text_beside_calls"),
        ("<think>so</think>[f(a=1), delete_all()]", CALL, "unknown_function"),
        ("<think>so</think>[f(a=1), f(a=1)]", CALL, "extra_call"),
        ("<think>so</think>[f(a=True)]", CALL, "wrong_type"),
        ("<think>so</think>[f(a=1, a=1)]", CALL, "malformed_call"),
        ("<think>so</think>true", CALL, "text_instead_of_call"),
        ("<think>so</think>5", CALL, "text_instead_of_call"),
        ("", CALL, "no_think_block"),
        (None, CALL, "empty_answer"),
        (5, CALL, "empty_answer"),
        ([], CALL, "empty_answer"),
        ([5, None], CALL, "empty_answer"),
        (HERMES, "garbage", "invalid_reference"),
        (HERMES, None, "invalid_reference"),
        (HERMES, '[{"name": "f"}]', "invalid_reference"),
        (HERMES, 5, "invalid_reference"),
    ],
)
def test_verdict(completion, reference, reason):
    assert judge(completion, reference) == reason


def test_garbage_equals_no_garbage():
    assert tool_call_reward.judge("garbage", "garbage", "garbage").score == 0.0
    assert tool_call_reward.judge(HERMES, CALL, "garbage").reason == "invalid_tools"


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ([{"role": "assistant", "content": HERMES}], "correct"),
        ([{"role": "assistant", "content": [{"type": "text", "text": HERMES}]}], "correct"),
        (
            [{"role": "assistant", "content": "", "reasoning_content": "so f",
              "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]}],
            "correct",
        ),
        (
            [{"role": "assistant", "content": "",
              "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]}],
            "no_think_block",
        ),
        (
            [{"role": "assistant", "content": "and", "reasoning_content": "so f",
              "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]}],
            "text_beside_calls",
        ),
        (
            [{"role": "assistant", "content": "", "reasoning_content": "so", "tool_calls": [{"function": None}, 5]}],
            "malformed_call",
        ),
        ([{"role": "assistant", "content": "<tool_call>{", "reasoning_content": "so"}], "malformed_call"),
        ([{"role": "assistant", "content": "", "reasoning_content": "so f because"}], "empty_answer"),
        (
            [{"role": "assistant", "content": HERMES}, {"role": "tool", "content": "<think>[f(a=2)]"},
             {"role": "assistant", "content": TEXT}],
            "correct",
        ),
        (
            [{"role": "assistant", "content": HERMES}, {"role": "tool", "content": "7"},
             {"role": "assistant", "content": "done, without a thought"}],
            "no_think_block",
        ),
    ],
)  # fmt: skip
def test_shapes_of_messages(completion, reason):
    assert judge(completion) == reason


def test_prefilled_prompts():
    assert judge("so f</think>[f(a=1)]", prompt="user: hi\nassistant: <think>\n") == "correct"
    assert judge(PYTHONIC, prompt="user: hi\nassistant: <think>\n") == "several_think_blocks"
    prefilled = ToolCallReward(think_prefilled=True)
    assert judge("so f</think>[f(a=1)]", reward=prefilled, prompt=[{"role": "user", "content": "hi"}]) == "correct"


def test_thinking_modes():
    off = ToolCallReward(thinking="off")
    assert judge("[f(a=1)]", reward=off) == "correct"
    assert judge(PYTHONIC, reward=off) == "unexpected_think_block"
    optional = ToolCallReward(thinking="optional")
    assert judge("[f(a=1)]", reward=optional) == judge(PYTHONIC, reward=optional) == "correct"


def test_a_named_syntax_reads_no_other():
    assert judge(PYTHONIC, reward=ToolCallReward(syntax="hermes")) == "malformed_call"
    assert judge(HERMES, reward=ToolCallReward(syntax="pythonic")) == "malformed_call"


@pytest.mark.parametrize(
    "options", [{"syntax": "xml"}, {"thinking": "maybe"}, {"think_tags": ("<think>",)}, {"think_tags": ("", "x")}]
)
def test_unknown_options(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        ToolCallReward(**options)


def test_as_trl_calls_it():
    extra, metrics = {}, {}
    scores = tool_call_reward(
        prompts=["p"] * 3,
        completions=[HERMES, TEXT, "junk"],
        completion_ids=[[1], [2], [3]],
        reference=[CALL, CALL, CALL],
        tools=[TOOLS] * 3,
        id=["a", "b", "c"],
        trainer_state=None,
        log_extra=extra.__setitem__,
        log_metric=metrics.__setitem__,
    )
    assert scores == [1.0, 0.0, 0.0]
    assert extra == {"reason": ["correct", "text_instead_of_call", "no_think_block"]}
    assert set(metrics) == {f"reason/{reason}" for reason in REASONS}
    assert sum(metrics.values()) == pytest.approx(1.0)
    assert tool_call_reward.__name__ == "tool_call_reward"
    assert pickle.loads(pickle.dumps(tool_call_reward)) == tool_call_reward


def test_binding(qwen3_tokenizer, deepseek_tokenizer, smollm2_tokenizer):
    bound = ToolCallReward().bind(qwen3_tokenizer)
    assert (bound.syntax, bound.thinking, bound.think_prefilled) == ("hermes", "required", False)
    bound = ToolCallReward().bind(qwen3_tokenizer, {"enable_thinking": False})
    assert (bound.thinking, bound.think_prefilled) == ("off", False)
    bound = ToolCallReward(syntax="pythonic").bind(deepseek_tokenizer)
    assert (bound.syntax, bound.thinking, bound.think_prefilled) == ("pythonic", "required", True)
    assert ToolCallReward().bind(smollm2_tokenizer).syntax == "pythonic"
    assert ToolCallReward(thinking="optional").bind(qwen3_tokenizer).thinking == "optional"


def test_tags_that_are_special_tokens_survive(tiny_tokenizer):
    """TRL decodes without special tokens; the token ids still have them."""
    import copy

    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<think>", "</think>"]})
    ids = tokenizer.encode(HERMES + "<|im_end|>")
    stripped = tokenizer.decode(ids, skip_special_tokens=True)
    assert "<think>" not in stripped
    bound = ToolCallReward().bind(tokenizer)
    assert judge([{"role": "assistant", "content": stripped}], reward=bound, token_ids=ids) == "correct"


def test_truncation_is_told_from_bad_form(tiny_tokenizer):
    bound = ToolCallReward().bind(tiny_tokenizer)
    ids = tiny_tokenizer.encode(HERMES)
    for kept in (ids[:-3], ids[:5]):
        text = tiny_tokenizer.decode(kept)
        assert judge(text, reward=bound, token_ids=kept) == "truncated"
        ended = [*kept, tiny_tokenizer.eos_token_id]
        assert judge(text, reward=bound, token_ids=ended) in ("malformed_call", "unclosed_think_block")
    text = "<think>so</think>I cannot"
    ids = tiny_tokenizer.encode(text)
    assert judge(text, reference="[]", reward=bound, token_ids=ids) == "truncated"
    assert judge(text, reference="[]", reward=bound, token_ids=[*ids, tiny_tokenizer.eos_token_id]) == "correct"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([HERMES, CALL]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "function", "name", "arguments"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(anything, anything, anything, anything)
def test_total_on_any_input(completion, reference, tools, prompt):
    verdict = tool_call_reward.judge(completion, reference, tools, prompt)
    assert verdict.score in (0.0, 1.0)
    assert verdict.reason in REASONS


def test_needs_neither_torch_nor_trl():
    """The readers, the comparison and the reward, until the native syntax is asked for."""
    code = (
        "import importlib, pkgutil, sys, egpo_trl, egpo_trl.tool_calls as package;"
        "names = [module.name for module in pkgutil.iter_modules(package.__path__)];"
        "assert len(names) >= 9, names;"
        "[importlib.import_module('egpo_trl.tool_calls.' + name) for name in names];"
        "from egpo_trl import guard_reward, tool_call_reward;"
        'verdict = tool_call_reward.judge(\'<think>so</think>[f(a=1)]\', \'[{"name": "f", "arguments": {"a": 1}}]\');'
        "assert verdict.score == 1.0;"
        "assert not {'torch', 'transformers', 'trl', 'datasets', 'numpy'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Options

DOTTED = json.dumps([{"name": "ns.f", "parameters": {"properties": {"a": {"type": "integer"}}}}])


def test_dots_as_underscores():
    reference = json.dumps([{"name": "ns.f", "arguments": {"a": 1}}])
    for written, strict, lenient in (("ns.f", 1.0, 1.0), ("ns_f", 0.0, 1.0), ("nsf", 0.0, 0.0)):
        completion = f"<think>so</think>[{written}(a=1)]"
        assert ToolCallReward().judge(completion, reference, DOTTED).score == strict
        verdict = ToolCallReward(dots_as_underscores=True).judge(completion, reference, DOTTED)
        assert verdict.score == lenient
        assert verdict.calls[0].name == written


@pytest.mark.parametrize(
    ("syntax", "completion"),
    [
        ("hermes", "<think>so</think>Sure, I call f.\n" + HERMES.split("</think>")[1] + "\nDone."),
        ("pythonic", "<think>so</think>Sure, I call f: [f(a=1)] Done."),
        ("pythonic", "<think>so</think>Sure: <answer>[f(a=1)]</answer>"),
        ("json", '<think>so</think>Sure: {"name": "f", "parameters": {"a": 1}}'),
    ],
)
def test_text_beside_calls(syntax, completion):
    assert judge(completion, reward=ToolCallReward(syntax=syntax)) == "text_beside_calls"
    allowed = ToolCallReward(syntax=syntax, allow_text=True)
    assert judge(completion, reward=allowed) == "correct"
    assert judge(completion, reference="[]", reward=allowed) == "call_instead_of_text"
    assert judge(completion + " f(b=2)", reward=allowed) in ("text_beside_calls", "malformed_call")
    assert judge("<think>so</think>No.", reference="[]", reward=allowed) == "correct"


def test_text_beside_parsed_calls():
    parsed = [{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]
    message = [{"role": "assistant", "reasoning_content": "so", "content": "Sure.", "tool_calls": parsed}]
    assert judge(message) == "text_beside_calls"
    assert judge(message, reward=ToolCallReward(allow_text=True)) == "correct"
    message[0]["content"] = "Sure. <tool_call>"
    assert judge(message, reward=ToolCallReward(allow_text=True)) == "text_beside_calls"


def test_bfcl_comparison():
    reward = ToolCallReward(comparison="bfcl", syntax="pythonic")
    reference = json.dumps([{"name": "f", "arguments": {"a": [1, 2]}}])
    for completion, reason in (
        ("[f(a=2)]", "correct"),
        ("[f(a=3)]", "wrong_value"),
        ("[f(a='2')]", "wrong_type"),
        ("[f()]", "missing_argument"),
        ("[f(a=1, b=1)]", "unexpected_argument"),
        ("[f(a=1), f(a=2)]", "extra_call"),
        ("[g(a=1)]", "unknown_function"),
    ):
        assert judge(f"<think>so</think>{completion}", reference, reward) == reason


def test_one_clear_error_for_each_option():
    for options, message in (
        ({"syntax": "xml"}, "syntax must be one of"),
        ({"comparison": "fuzzy"}, "comparison must be one of"),
        ({"thinking": "maybe"}, "thinking must be one of"),
        ({"think_tags": ("<think>",)}, "think_tags must be"),
    ):
        with pytest.raises(ValueError, match=message):
            ToolCallReward(**options)


def test_rows_are_parsed_once_and_never_mixed_up():
    """The cache of parsed rows keys on the whole row."""
    reward = ToolCallReward(syntax="pythonic")
    for value in (1, 2):
        reference = json.dumps([{"name": "f", "arguments": {"a": value}}])
        for written in (1, 2):
            assert (judge(f"<think>so</think>[f(a={written})]", reference, reward) == "correct") is (value == written)
    values = [{"name": "f", "arguments": {"a": 1}}]  # values instead of JSON strings
    assert reward.judge("<think>so</think>[f(a=1)]", values, json.loads(TOOLS)).score == 1.0


# What a second pair of eyes found


def test_the_names_as_the_model_sees_them():
    """With dots as underscores both spellings of an offered name betray a call."""
    reward = ToolCallReward(dots_as_underscores=True)
    for text in ("Sure: ns.f(1)", "Sure: ns_f(1)"):
        assert reward.judge(f"<think>so</think>{text}", "[]", DOTTED).reason == "malformed_call"


def test_think_tags_of_your_own():
    reward = ToolCallReward(syntax="pythonic", think_tags=("<r>", "</r>"), allow_text=True)
    for text in ("<r>a</r> and <r>b</r> [f(a=1)]", "<r>a</r>x</r>[f(a=1)]"):
        assert judge(text, reward=reward) == "several_think_blocks"
    assert judge("<r>a</r>Sure: [f(a=1)]", reward=reward) == "correct"


def test_parsed_reasoning_is_held_to_the_template():
    parsed = [{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]
    for key, thought, reason in (
        ("reasoning_content", "so", "correct"),
        ("thinking", "so", "correct"),
        ("reasoning", "so", "correct"),
        ("reasoning_content", " \n", "no_think_block"),
        ("reasoning_content", "a </think> <think> b", "several_think_blocks"),
    ):
        assert judge([{"role": "assistant", key: thought, "content": "", "tool_calls": parsed}]) == reason


def test_a_rollout_cut_off_in_its_last_turn(tiny_tokenizer):
    bound = ToolCallReward().bind(tiny_tokenizer)
    rollout = [
        {"role": "assistant", "content": HERMES},
        {"role": "tool", "content": "7"},
        {"role": "assistant", "content": "<think>so</think>It is"},
    ]
    ids = tiny_tokenizer.encode("It is")
    assert judge(rollout, reward=bound, token_ids=ids) == "truncated"
    assert judge(rollout, reward=bound, token_ids=[*ids, tiny_tokenizer.eos_token_id]) == "correct"


def test_a_verdict_is_the_callers_own():
    completion = "<think>so</think>[f(a=2)]"
    verdict = tool_call_reward.judge(completion, CALL, TOOLS)
    verdict.calls[0].arguments["a"] = 1
    assert tool_call_reward.judge(completion, CALL, TOOLS).reason == "wrong_value"


def test_hostile_schemas_of_a_bfcl_row():
    tools = '[{"name": "f", "parameters": {"required": [["a"], {}, null], "properties": [1], "type": 5}}]'
    verdict = ToolCallReward(comparison="bfcl").judge("<think>so</think>[f(a=1)]", CALL, tools)
    assert verdict.reason == "unexpected_argument"
