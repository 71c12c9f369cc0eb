"""Prompt styles, and the way back from them."""

import json

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

from egpo_trl.data.prompts import PROMPT_STYLES, from_messages, takes_objects, template_messages, to_messages
from egpo_trl.demo.world import make_rows
from tests.conftest import trl_template

ROW = make_rows(1)[0]


def test_native_is_the_row():
    assert to_messages(ROW) == ROW["prompt"]


def test_paper_lists_the_functions_once_and_names_the_form():
    system, *rest = to_messages(ROW, "paper")
    assert rest == ROW["prompt"]
    assert system["role"] == "system"
    for tool in json.loads(ROW["tools"]):
        assert system["content"].count(json.dumps(tool["function"])) == 1
    assert "<think></think>" in system["content"]
    assert "[func_name1(params_name1=params_value1" in system["content"]


def test_paper_keeps_the_rows_own_system_message():
    row = {**ROW, "prompt": [{"role": "system", "content": "Be brief."}, *ROW["prompt"]]}
    messages = to_messages(row, "paper", ("<r>", "</r>"))
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[0]["content"].endswith("Be brief.")
    assert "<r></r>" in messages[0]["content"]
    assert row["prompt"][0]["content"] == "Be brief."


def test_errors():
    with pytest.raises(ValueError, match="prompt_style must be one of"):
        to_messages(ROW, "chat")
    with pytest.raises(ValueError, match="rendered string"):
        to_messages({**ROW, "prompt": "text"}, "paper")


def call(number, name, arguments):
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": f"call_{number}", "type": "function", "function": function}


HISTORY = [
    {"role": "system", "content": "Be brief.\n\nAnd kind."},
    {"role": "user", "content": "Weather in Rome and Oslo?"},
    {"role": "assistant", "content": "", "tool_calls": [call(0, "Get Weather", {"city": "Rome", "days": [1, None]}),
                                                        call(1, "Get Weather", {"city": "Os'lo\n", "x": {"é": 1.5}})]},
    {"role": "tool", "content": "{}", "tool_call_id": "call_0", "name": "Get Weather"},
    {"role": "assistant", "content": "Sunny [both]."},
    {"role": "user", "content": "[f(a=1)]"},
    {"role": "assistant", "content": "", "tool_calls": [call(2, "f", {})]},
]  # fmt: skip


def same(row, other):
    return row["prompt"] == other["prompt"] and json.loads(row["tools"]) == json.loads(other["tools"])


@pytest.mark.parametrize("style", PROMPT_STYLES)
@pytest.mark.parametrize("prompt", [ROW["prompt"], HISTORY, [{"role": "system", "content": ""}, *HISTORY[1:]]])
@pytest.mark.parametrize("tags", [("<think>", "</think>"), ("<r>", "</r>")])
def test_styles_are_reversible(style, prompt, tags):
    row = {**ROW, "prompt": prompt}
    assert same({**row, **from_messages(to_messages(row, style, tags), style, tags)}, row)


def test_paper_writes_the_calls_of_the_history():
    messages = to_messages({**ROW, "prompt": HISTORY}, "paper")
    assert not any("tool_calls" in message for message in messages)
    assert messages[2]["content"].startswith("[Get Weather(city='Rome', days=[1, None]), Get Weather(city=")
    assert messages[-1]["content"] == "[f()]"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "", "tool_calls": [call(0, "f(", {})]},
        {"role": "assistant", "content": [{"type": "text", "text": "Let me look."}], "tool_calls": [call(0, "f", {})]},
        {"role": "assistant", "content": "", "tool_calls": [{"function": None}]},
    ],
)
def test_calls_that_text_cannot_hold_stay(message):
    row = {**ROW, "prompt": [*ROW["prompt"], message]}
    messages = to_messages(row, "paper")
    assert messages[-1] == message
    assert same(from_messages(messages, "paper"), row)


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ({"content": "Let me look.", "tool_calls": [call(0, "f", {"a": "x\ny"})]}, "Let me look.\n[f(a='x\\ny')]"),
        ({"content": "Two\nlines\n", "tool_calls": [call(0, "f", {})]}, "Two\nlines\n\n[f()]"),
        ({"content": "", "tool_calls": [{**call(0, "f", {}), "id": "toolu_01A"}]}, "[f()]"),
        ({"content": "", "tool_calls": [{"function": {"name": "f", "arguments": '{"a":1}'}}]}, "[f(a=1)]"),
        ({"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}, "[f(a=1)]"),
        ({"content": "", "reasoning_content": "hm", "tool_calls": [call(0, "f", {})]}, "[f()]"),
        ({"content": "[f(a=1)]"}, "[f(a=1)]"),
        ({"content": "[1] and [2]"}, "[1] and [2]"),
    ],
)
def test_texts_beside_calls_ids_of_any_form_and_texts_like_calls(message, written):
    """The model sees the calls as text, and nothing else; the way back gives what was there, Arrow's padding or not."""
    history = [
        *ROW["prompt"],
        {"role": "assistant", **message},
        {"role": "tool", "content": "1", "tool_call_id": "toolu_01A"},
    ]
    row = {**ROW, "prompt": history}
    messages = to_messages(row, "paper")
    shown = template_messages(messages)[-2]
    assert shown["content"] == written
    assert shown.keys() <= {"role", "content", "reasoning_content"}
    assert same(from_messages(messages, "paper"), row)
    padded = Dataset.from_list([{"prompt": messages}])[0]["prompt"]
    back = from_messages(padded, "paper")["prompt"]
    assert [{key: value for key, value in m.items() if value is not None} for m in back] == history


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1)
NAME = TEXT.filter(lambda s: not s.startswith("["))
MESSAGE = st.one_of(
    st.builds(lambda text: {"role": "user", "content": text}, TEXT),
    st.builds(lambda text: {"role": "assistant", "content": text}, TEXT),
    st.builds(lambda text, name, args, i: {"role": "assistant", "content": text, "tool_calls": [{**call(0, name, args), "id": i}]},
              st.just("") | TEXT | st.just("[f()]"), NAME, st.dictionaries(TEXT, JSON, max_size=3), st.just("call_0") | TEXT),
    st.just({"role": "assistant", "content": "[f(a=1), g()]"}),
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.lists(MESSAGE, min_size=1, max_size=4), st.text())
def test_any_history_is_reversible(messages, description):
    tools = [{"type": "function", "function": {"name": "f", "description": description, "parameters": {}}}]
    row = {"prompt": messages, "tools": json.dumps(tools)}
    for style in PROMPT_STYLES:
        assert same({**row, **from_messages(to_messages(row, style), style)}, row)


@pytest.mark.parametrize("content", ["hello", None, "You solve requests", 3])
def test_messages_of_another_style_are_an_error(content):
    with pytest.raises(ValueError, match="not the system message"):
        from_messages([{"role": "system", "content": content}], "paper")
    good = to_messages(ROW, "paper")
    for broken in ([], good[1:], [{**good[0], "content": good[0]["content"][:-1]}]):
        with pytest.raises(ValueError, match="not the system message"):
            from_messages(broken, "paper")
    with pytest.raises(ValueError, match="not the system message"):
        from_messages(good, "paper", ("<r>", "</r>"))
    with pytest.raises(ValueError, match="prompt_style must be"):
        from_messages(good, "chat")


@pytest.mark.parametrize(
    ("template", "written"),
    [
        ("qwen2_5", '{"name": "Get Weather", "arguments": {"city": "Rome"}}'),
        ("qwen3", '{"name": "Get Weather", "arguments": {"city": "Rome"}}'),
        ("qwen3_5_think", "<parameter=city>\nRome\n</parameter>"),
        ("llama3_1", '{"name": "Get Weather", "parameters": {"city": "Rome"}}'),
        ("glm4moe", "<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>"),
        ("gptoss", '{"city": "Rome"}'),
        ("deepseekv3", '```json\n{"city": "Rome"}\n```'),
        ("gemma3", None),
    ],
)
def test_histories_render_with_every_kind_of_template(template, written):
    """Rows from Arrow: arguments are strings, and every message has the keys of all others."""
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [call(0, "Get Weather", {"city": "Rome"})]},
        {"role": "tool", "content": "{}", "tool_call_id": "call_0", "name": "Get Weather"},
    ]
    prompt = Dataset.from_list([{"prompt": messages}])[0]["prompt"]
    assert prompt[0]["tool_calls"] is None

    def render(messages):
        rendered, _ = render_jinja_template(
            conversations=[messages],
            chat_template=trl_template(template),
            tools=json.loads(ROW["tools"]),
            add_generation_prompt=True,
            bos_token="",
            eos_token="",
        )
        return rendered[0].split("Weather?")[-1]

    objects = takes_objects(render)
    assert objects == (not template.startswith("deepseek"))
    if written is not None:  # gemma3 refuses tool messages
        assert written in render(template_messages(prompt, objects))
        assert "\\" not in render(template_messages(prompt, objects))


def test_what_no_template_reads_is_left_as_it_is():
    odd = [
        {"role": "user", "content": None},
        {"role": "assistant", "content": [{"type": "image", "text": None}], "tool_calls": "x"},
        {"role": "assistant", "content": "", "tool_calls": [3, {"function": 3}, {"function": {"arguments": "{"}}]},
    ]
    assert template_messages(odd) == odd
