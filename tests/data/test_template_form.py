"""The form of messages that chat templates take, and messages written in it."""

import pytest

from egpo_trl.data.rendering import PromptRenderer
from egpo_trl.data.template_form import TemplateForm, in_form
from tests.data.templates import HISTORIES, USER, call, with_template


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("qwen2_5", TemplateForm()),
        ("qwen3", TemplateForm()),
        ("qwen3_5_think", TemplateForm()),
        ("llama3_1", TemplateForm()),
        ("gptoss", TemplateForm()),
        ("glm4moe", TemplateForm()),
        ("gemma4_v5", TemplateForm()),
        ("phi3_5", TemplateForm()),  # shows no calls
        ("deepseekv3", TemplateForm(objects=False)),
        ("deepseekv3_training", TemplateForm()),
        ("joined", TemplateForm(objects=False)),
        ("mistral", TemplateForm(ids="mistral")),
        ("kimi", TemplateForm(ids="kimi")),
        ("gemma", TemplateForm(system=False)),
        ("llava_next", TemplateForm(parts=True)),
        ("smolvlm", TemplateForm(parts=True)),
    ],
)
def test_forms(tiny_tokenizer, name, form):
    assert PromptRenderer(with_template(tiny_tokenizer, name)).form == form


def ids_of(messages):
    called = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    return called, [message["tool_call_id"] for message in messages if message["role"] == "tool"]


@pytest.mark.parametrize(
    ("ids", "history", "expected"),
    [
        ("any", "two calls", ["call_0", "call_1"]),
        ("any", "no ids", ["call_0"]),
        ("mistral", "two calls", ["call00000", "call00001"]),
        ("mistral", "no ids", ["call00000"]),
        ("kimi", "two calls", ["functions.get_weather:0", "functions.get_weather:1"]),
    ],
)
def test_ids_of_calls_and_results(ids, history, expected):
    assert ids_of(in_form(HISTORIES[history], TemplateForm(ids=ids))) == (expected, expected)


def test_valid_ids_are_kept_and_results_follow_theirs():
    calls = [call("Oslo", "Ab3dEf7h9"), call("Rome", "call_7")]
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "1"} for one in reversed(calls)]
    messages = [USER, {"role": "assistant", "content": "", "tool_calls": calls}, *results]
    assert ids_of(in_form(messages, TemplateForm(ids="mistral"))) == (
        ["Ab3dEf7h9", "call00001"],
        ["call00001", "Ab3dEf7h9"],
    )
    orphan = [{"role": "tool", "tool_call_id": "toolu_9", "content": "1"}]
    assert ids_of(in_form([*messages[:2], *orphan], TemplateForm(ids="mistral")))[1] == ["toolu_9"]


def test_the_rows_stay_as_they_are():
    before = repr(HISTORIES)
    for history in HISTORIES.values():
        for form in (TemplateForm(False, "kimi", False, True), TemplateForm(True, "mistral", False)):
            in_form(history, form)
    assert repr(HISTORIES) == before


def test_a_system_message_that_the_template_refuses_goes_to_the_user():
    assert in_form(HISTORIES["system"], TemplateForm(system=False)) == [
        {"role": "user", "content": "Be brief.\n\nWeather?"}
    ]


def test_arguments_that_are_not_json_are_left_to_the_template():
    broken = {"function": {"name": "f", "arguments": '{"a": 1'}}
    (_, message) = in_form([USER, {"role": "assistant", "tool_calls": [broken]}])
    assert message["tool_calls"][0]["function"]["arguments"] == '{"a": 1'
