"""Prompt styles."""

import json

import pytest

from egpo_trl.data.prompts import to_messages
from egpo_trl.demo.world import make_rows

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


def test_paper_writes_the_calls_of_the_history():
    messages = to_messages({**ROW, "prompt": HISTORY}, "paper")
    assert not any("tool_calls" in message for message in messages)
    assert messages[2]["content"].startswith("[Get Weather(city='Rome', days=[1, None]), Get Weather(city=")
    assert messages[-1]["content"] == "[f()]"


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ({"content": "Let me look.", "tool_calls": [call(0, "f", {"a": "x\ny"})]}, "Let me look.\n[f(a='x\\ny')]"),
        ({"content": "", "tool_calls": [{**call(0, "f", {}), "id": "toolu_01A"}]}, "[f()]"),
        ({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": '{"a":1}'}}]}, "[f(a=1)]"),
        ({"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}, "[f(a=1)]"),
        ({"content": "", "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1'}}]}, '[f({"a": 1)]'),
        ({"content": [{"type": "text", "text": "Look."}], "tool_calls": [call(0, "f(", {})]}, "Look.\n[f(()]"),
        ({"content": "", "reasoning_content": "hm", "tool_calls": [call(0, "f", {})]}, "[f()]"),
        ({"content": "[f(a=1)]"}, "[f(a=1)]"),
    ],
)
def test_paper_writes_calls_of_any_form(message, written):
    history = [*ROW["prompt"], {"role": "assistant", **message}]
    shown = to_messages({**ROW, "prompt": history}, "paper")[-1]
    assert shown["content"] == written
    assert shown.keys() <= {"role", "content", "reasoning_content"}


def test_paper_gives_results_to_the_user():
    results = [{"role": "tool", "content": "1"}, {"role": "tool", "content": [{"type": "text", "text": "2"}]}]
    history = [
        *ROW["prompt"],
        {"role": "assistant", "content": "[f()]"},
        *results,
        {"role": "user", "content": "And?"},
    ]
    *_, last = to_messages({**ROW, "prompt": history}, "paper")
    assert last["role"] == "user"
    assert last["content"] == ("<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>\nAnd?")
