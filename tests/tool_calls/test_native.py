"""The native syntax on the chat templates of real families, strictly."""

import copy
import json
import random
import time

import pytest

from egpo_trl import ToolCallReward
from egpo_trl.tool_calls.calls import State, ToolCall
from egpo_trl.tool_calls.native import NativeReader, find_response_template
from egpo_trl.tool_calls.template_syntax import find_syntax
from tests.conftest import trl_template

TOOLS = [
    {"type": "function", "function": {"name": name, "description": "d", "parameters": {
        "type": "object", "required": ["a"],
        "properties": {"a": {"type": "integer", "description": "x"}, "s": {"type": "string", "description": "x"}},
    }}}
    for name in ("get_x", "put_y")
]  # fmt: skip
NAMES = ["get_x", "put_y"]
USER = [{"role": "user", "content": "hi"}]
# family -> what ends the turn of a text answer
FAMILIES = {
    "qwen3_5_think": "<|im_end|>", "qwen3_6": "<|im_end|>", "qwen3_8": "<|im_end|>", "glm4moe": "", "lfm2_2_5": "<|im_end|>",
    "gemma4": "<turn|>", "nemotron_3_nano": "<|im_end|>",
}  # fmt: skip


def message(**fields):
    return {"role": "assistant", "content": "", "reasoning_content": "so 2 < 3", "thinking": "so 2 < 3", **fields}


def call(name, **arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def with_template(tokenizer, name):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = trl_template(name)
    return tokenizer


def prompt_and_completion(tokenizer, answer):
    prompt = tokenizer.apply_chat_template(USER, tools=TOOLS, add_generation_prompt=True, tokenize=False)
    full = tokenizer.apply_chat_template([*USER, answer], tools=TOOLS, tokenize=False)
    assert full.startswith(prompt)
    return prompt, full[len(prompt) :]


def reader(tokenizer, thinking="required"):
    return NativeReader(find_response_template(tokenizer), thinking)


@pytest.mark.parametrize("family", [*FAMILIES, "gptoss"])
def test_what_the_template_writes_is_read_back(tiny_tokenizer, family):
    tokenizer = with_template(tiny_tokenizer, family)
    calls = [call("get_x", a=1, s="b c"), call("put_y", a=2)][: 1 if family == "gptoss" else 2]  # gpt-oss writes one
    prompt, completion = prompt_and_completion(tokenizer, message(tool_calls=calls))
    answer = reader(tokenizer).read(completion, prompt, TOOLS, NAMES)
    assert answer.state is State.CALL, completion
    assert list(answer.calls) == [ToolCall(c["function"]["name"], c["function"]["arguments"]) for c in calls]
    off = reader(tokenizer, "off").read(completion, prompt, TOOLS, NAMES)
    assert off.reason == "unexpected_think_block"


@pytest.mark.parametrize("family", FAMILIES)
def test_text_and_what_is_neither(tiny_tokenizer, family):
    tokenizer = with_template(tiny_tokenizer, family)
    prompt, completion = prompt_and_completion(tokenizer, message(tool_calls=[call("get_x", a=1, s="b c")]))
    strict = reader(tokenizer)
    closing = {"gemma4": "<channel|>"}.get(family, "</think>")
    thought, _, behind = completion.partition(closing)
    end = FAMILIES[family]
    block = thought + closing

    def read(text, allow_text=False):
        return strict.read(text, prompt, TOOLS, NAMES, allow_text)

    assert read(f"{block}\nI cannot do that.{end}").state is State.TEXT
    assert read(block + end).reason == "empty_answer"
    assert read(f"{block}sure, get_x(a=1){end}").state is State.MALFORMED
    assert read(f"{block}Sure:{behind}").reason == "text_beside_calls"
    assert read(f"{block}Sure:{behind}", allow_text=True).state is State.CALL
    assert read(thought).reason in ("unclosed_think_block", "no_think_block")
    assert read(completion + completion).state is State.MALFORMED
    for cut in range(completion.index("get_x"), completion.rindex("c") + 1):  # inside the call
        assert read(completion[:cut]).state is State.MALFORMED, completion[:cut]
    assert read("\x03" + completion).state is State.MALFORMED
    assert read("x" * 300_000).state is State.MALFORMED


def test_missing_reasoning(tiny_tokenizer):
    tokenizer = with_template(tiny_tokenizer, "lfm2_2_5")
    prompt, completion = prompt_and_completion(tokenizer, message(tool_calls=[call("get_x", a=1)]))
    bare = completion.split("</think>")[1]
    assert reader(tokenizer).read(bare, prompt, TOOLS, NAMES).reason == "no_think_block"
    assert reader(tokenizer, "optional").read(bare, prompt, TOOLS, NAMES).state is State.CALL
    assert reader(tokenizer, "off").read(bare, prompt, TOOLS, NAMES).state is State.CALL
    for text in ("<think>a</think><think>b</think>", "<think>a</think>x<think>b</think>"):
        assert reader(tokenizer).read(text + bare, prompt, TOOLS, NAMES).reason == "several_think_blocks"
    assert reader(tokenizer).read("x" + completion, prompt, TOOLS, NAMES).reason == "no_think_block"


def test_repeated_and_broken_parameters(tiny_tokenizer):
    tokenizer = with_template(tiny_tokenizer, "qwen3_6")
    prompt, _ = prompt_and_completion(tokenizer, message(tool_calls=[call("get_x", a=1)]))

    def read(body):
        text = f"so\n</think>\n\n<tool_call>\n<function=get_x>\n{body}\n</function>\n</tool_call><|im_end|>"
        return reader(tokenizer).read(text, prompt, TOOLS, NAMES)

    one = "<parameter=a>\n1\n</parameter>"
    assert read(one).calls == (ToolCall("get_x", {"a": 1}),)
    assert reader(tokenizer).read(
        f"so\n</think>\n\n<tool_call>\n<function=get_x>\n{one}\n</functio>\n</tool_call><|im_end|>", prompt, TOOLS, NAMES
    ).state is State.MALFORMED  # fmt: skip
    for body in (
        one + one,
        one + "junk",
        one + "<parameter=s>",
        "<parameter=a>1",
        one + "</function></function>",
        one + "</junk>",
    ):
        assert read(body).state is State.MALFORMED, body


def test_json_inside_a_native_call_is_strict(tiny_tokenizer):
    tokenizer = with_template(tiny_tokenizer, "gptoss")
    head = "<|channel|>analysis<|message|>so<|end|><|start|>assistant to=functions.get_x<|channel|>commentary json<|message|>"
    prompt = tokenizer.apply_chat_template(USER, tools=TOOLS, add_generation_prompt=True, tokenize=False)
    for body, state in (
        ('{"a": 1}<|call|>', State.CALL),
        ('{"a": 1, "a": 2}<|call|>', State.MALFORMED),
        ('{"a": NaN}<|call|>', State.MALFORMED),
        ('{"a": "\\ud800"}<|call|>', State.MALFORMED),
        ('{"a": 1}', State.MALFORMED),
        ("[1]<|call|>", State.MALFORMED),
        ('{"a": 1}<|call|>junk', State.MALFORMED),
    ):
        assert reader(tokenizer).read(head + body, prompt, TOOLS, NAMES).state is state, body


@pytest.mark.parametrize(
    ("template", "syntax"),
    [("qwen2_5", "hermes"), ("qwen3", "hermes"), ("qwen3_instruct_2507", "hermes"), ("qwen3_5_think", "qwen_xml"),
     ("nemotron_3_nano", "qwen_xml"), ("glm4moe", "glm"), ("gptoss", "harmony"), ("gemma4", "gemma"), ("lfm2", "pythonic"),
     ("lfm2_2_5", "pythonic"), ("llama3_1", "json"), ("llama3_2", "json"), ("phi3", "pythonic"), ("deepseekv3", "deepseek"),
     ("deepseek_r1_distill", "deepseek")],
)  # fmt: skip
def test_the_syntax_is_found_by_letting_the_template_write_a_call(tiny_tokenizer, template, syntax):
    assert find_syntax(with_template(tiny_tokenizer, template)) == syntax


def test_a_syntax_that_nothing_reads(tiny_tokenizer):
    tokenizer = with_template(tiny_tokenizer, "muse_glimmer")
    with pytest.raises(ValueError, match="which nothing here reads"):
        ToolCallReward().bind(tokenizer)
    with pytest.raises(ValueError, match="needs a response template"):
        ToolCallReward(syntax="native").bind(tokenizer)
    assert ToolCallReward(syntax="pythonic").bind(tokenizer).syntax == "pythonic"


def test_a_tokenizers_own_response_template(tiny_tokenizer):
    """A family that neither TRL nor this package has heard of."""
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}"
        "@@{{ c.function | tojson }}@@{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer.response_template = {
        "defaults": {"role": "assistant"},
        "start_anchor": "<|im_start|>assistant\n",
        "fields": {
            "reasoning_content": {"open": "<think>", "close": "</think>", "content": "text"},
            "tool_calls": {
                "open": "@@{", "close": "}@@", "repeats": True, "content": "json",
                "transform": {"type": "function", "function": {"name": "get_x", "arguments": "{content}"}},
            },
            "content": {"close_pattern": r"<\|im_end\|>\s*", "content": "text"},
        },
    }  # fmt: skip
    assert find_syntax(tokenizer) == "native"
    assert getattr(copy.deepcopy(tiny_tokenizer), "response_template", None) is None


@pytest.mark.parametrize("family", ["qwen3_6", "nemotron_3_nano", "lfm2_2_5"])
def test_the_reward_reads_token_ids(tiny_tokenizer, family):
    tokenizer = with_template(tiny_tokenizer, family)
    prompt, completion = prompt_and_completion(tokenizer, message(tool_calls=[call("get_x", a=1, s="b c")]))
    bound = ToolCallReward().bind(tokenizer)
    reference = json.dumps([{"name": "get_x", "arguments": {"a": 1, "s": "b c"}}])
    ids = [*tokenizer.encode(completion.rstrip().removesuffix("<|im_end|>")), tokenizer.eos_token_id]

    def judge(ids):
        parsed = [{"role": "assistant", "content": tokenizer.decode(ids, skip_special_tokens=True)}]
        return bound.judge(parsed, reference, json.dumps(TOOLS), prompt, ids).reason

    assert judge(ids) == "correct"
    assert judge(ids[: len(ids) // 2]) == "truncated"
    assert judge([*ids[: len(ids) // 2], tokenizer.eos_token_id]) != "correct"


def test_trl_falls_back_to_text_on_a_broken_call(tiny_tokenizer):
    """What TRL hands over where its parser fails, and where it succeeds."""
    from trl.chat_template_utils import add_response_schema, parse_response

    tokenizer = add_response_schema(with_template(tiny_tokenizer, "qwen3"))
    reward = ToolCallReward(syntax="hermes")
    reference = json.dumps([{"name": "get_x", "arguments": {"a": 1}}])
    good = '<think>so</think>\n<tool_call>\n{"name": "get_x", "arguments": {"a": 1}}\n</tool_call><|im_end|>'
    for text, reason, no_call in (
        (good, "correct", "call_instead_of_text"),
        (good.replace("}}", "}"), "malformed_call", "malformed_call"),
        ("<think>so</think>Nothing fits.<|im_end|>", "text_instead_of_call", "correct"),
        (good.replace("<|im_end|>", '\n<tool_call>\n{"name"'), "malformed_call", "malformed_call"),
    ):
        parsed = parse_response(
            tokenizer, tokenizer.encode(text), prefix=tokenizer.encode("<|im_start|>assistant\n"), tools=TOOLS
        )
        assert reward.judge([parsed], reference, json.dumps(TOOLS)).reason == reason
        assert reward.judge([parsed], "[]", json.dumps(TOOLS)).reason == no_call


def test_a_turn_ends_once(tiny_tokenizer):
    reward = ToolCallReward("native", thinking="off").bind(with_template(tiny_tokenizer, "qwen3"))
    for ends, reason in (
        ("<|im_end|>", "correct"),
        ("<|im_end|><|im_end|>", "malformed_call"),
        ("<|end|>", "correct"),
    ):
        assert reward.judge(f"Nothing fits.{ends}", "[]", json.dumps(TOOLS)).reason == reason, ends


@pytest.mark.parametrize("family", [*FAMILIES, "gptoss"])
def test_total_on_mutated_completions(tiny_tokenizer, family):
    """No exception; a call that is still the right one differs in white space or in its reasoning only."""
    tokenizer = with_template(tiny_tokenizer, family)
    prompt, completion = prompt_and_completion(tokenizer, message(tool_calls=[call("get_x", a=1, s="b c")]))
    strict = reader(tokenizer)
    calls = strict.read(completion, prompt, TOOLS, NAMES).calls
    answer = completion[completion.index("2 < 3") :].partition(">")[2]
    rng = random.Random(0)
    for _ in range(400):
        i = rng.randrange(len(completion))
        j = i + rng.choice([0, 1, 3, 10])
        piece = rng.choice(["", "<", ">", '"', "\x03", "é", "<|im_end|>", "</function>", completion[i:j] * 2])
        mutated = completion[:i] + piece + completion[j:]
        read = strict.read(mutated, prompt, TOOLS, NAMES)
        assert read.state in State
        if read.calls == calls and "<|im_end|>" not in mutated[-15:]:
            assert "".join(answer.split())[-20:] in "".join(mutated.split())


def test_what_transformers_forgives_is_malformed(tiny_tokenizer):
    """Repeated keys, infinite numbers, stray commas, values that are not written as they are, tags in the thought."""
    qwen = with_template(tiny_tokenizer, "qwen3_6")
    prompt, _ = prompt_and_completion(qwen, message(tool_calls=[call("get_x", a=1)]))
    schema = {"a": "integer", "n": "number", "b": "boolean", "o": "object", "s": "string"}
    tools = [{"type": "function", "function": {"name": "get_x", "parameters": {
        "type": "object", "properties": {key: {"type": value} for key, value in schema.items()}}}}]  # fmt: skip

    def read(arguments, thought="so", between=""):
        body = "\n".join(f"<parameter={key}>\n{value}\n</parameter>" for key, value in arguments)
        text = f"{thought}\n</think>\n\n{between}<tool_call>\n<function=get_x>\n{body}\n</function>\n</tool_call><|im_end|>"
        return reader(qwen).read(text, prompt, tools, ["get_x"])

    for key, written, value in (
        ("a", "10", 10), ("n", "1.5", 1.5), ("b", "true", True), ("b", "False", False), ("o", '{"k": [1]}', {"k": [1]}), ("s", "1_0", "1_0"),
    ):  # fmt: skip
        assert read([(key, written)]).calls == (ToolCall("get_x", {key: value}),), (key, written)
    for key, written in (
        ("a", "1_0"),
        ("a", "１"),
        ("a", "1.0"),
        ("b", "1"),
        ("o", '{"k": 1, "k": 2}'),
        ("n", "1e999"),
    ):
        answer = read([(key, written)])
        assert answer.state is State.MALFORMED or isinstance(answer.calls[0].arguments[key], str), (key, written)
    assert read([("a", "1")], thought="a <think> b").reason == "several_think_blocks"
    assert read([("a", "1")], between="<|im_start|>assistant\n").state is State.MALFORMED

    gemma = with_template(tiny_tokenizer, "gemma4")
    prompt, _ = prompt_and_completion(gemma, message(tool_calls=[call("get_x", a=1)]))
    for body, state in (
        ("a:1", State.CALL), ("a:99,a:1", State.MALFORMED), ("o:{k:7,k:1}", State.MALFORMED), ("a:NaN", State.MALFORMED),
        ("a:1e999", State.MALFORMED), ('s:<|"|>x: y, a:1<|"|>', State.CALL), ("a:1,", State.MALFORMED),
    ):  # fmt: skip
        text = f"<|channel>thought\nso\n<channel|><|tool_call>call:get_x{{{body}}}<tool_call|><turn|>"
        assert reader(gemma).read(text, prompt, tools, ["get_x"]).state is state, body


def test_native_time_is_bounded(tiny_tokenizer):
    """transformers' patterns are quadratic in unclosed arguments and in white space."""
    tokenizer = with_template(tiny_tokenizer, "qwen3_6")
    prompt, _ = prompt_and_completion(tokenizer, message(tool_calls=[call("get_x", a=1)]))
    head = "so\n</think>\n\n<tool_call>\n<function=get_x>\n"
    for body in (
        "<parameter=a>\n" * 6000,
        "<parameter=a>\n</parameter>" * 3000,
        "<parameter=a>" + " " * 90_000 + "x</parameter>",
    ):
        for end in ("", "</function>\n</tool_call><|im_end|>"):
            start = time.process_time()
            assert reader(tokenizer).read(head + body + end, prompt, TOOLS, NAMES).state is State.MALFORMED
            assert time.process_time() - start < 1.0


def test_stop_tokens_of_the_generation_config(tiny_tokenizer):
    """A turn may end with a token that is not the tokenizer's end-of-sequence token; a pad token ends nothing."""
    end, pad = tiny_tokenizer.encode("<|im_start|>")[0], tiny_tokenizer.pad_token_id
    text = "<think>so</think>Nothing fits."
    ids = tiny_tokenizer.encode(text)
    message_of = [{"role": "assistant", "content": text}]
    bound = ToolCallReward().bind(tiny_tokenizer, stop_token_ids=[end])
    assert bound.judge(message_of, "[]", None, None, [*ids, end]).reason == "correct"
    assert ToolCallReward().bind(tiny_tokenizer).judge(message_of, "[]", None, None, [*ids, end]).score == 0.0
    junk = [*ids, pad, *tiny_tokenizer.encode("and more"), tiny_tokenizer.eos_token_id]
    assert bound.judge(message_of, "[]", None, None, junk).score == 0.0
