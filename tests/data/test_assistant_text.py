"""Calls in assistant messages, in whatever syntax they are written, and texts without a trace of one."""

import contextlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.data.assistant_text import call_of, looks_like_call, read_assistant, read_written_calls
from egpo_trl.tool_calls.calls import ToolCall

NAMES = ("get_weather", "math.add", "Get Trends", "get-time", "think")
WEATHER = ToolCall("get_weather", {"city": "Rome"})
OBJECT = json.dumps({"name": "get_weather", "arguments": {"city": "Rome"}})
GLAIVE = """<functioncall> {"name": "get_weather", "arguments": '{"city": "Rome"}'} <|endoftext|>"""


@pytest.mark.parametrize(
    ("text", "beside"),
    [
        (f"<tool_call>\n{OBJECT}\n</tool_call>", ""),
        ("<tool_call>{'name': 'get_weather', 'arguments': {'city': 'Rome'}}</tool_call>", ""),
        (f"Let me look.\n<tool_call>{OBJECT}</tool_call>", "Let me look."),
        (f"<think>Which city?</think>\n<tool_call>{OBJECT}</tool_call>", ""),
        (GLAIVE, ""),
        (f"<functioncall> {OBJECT}", ""),
        (f"Sure. <functioncall>{OBJECT}</functioncall>", "Sure."),
        (OBJECT, ""),
        (f"[{OBJECT}]", ""),
        (f"```json\n{OBJECT}\n```", ""),
        ('{"name": "get_weather", "parameters": {"city": "Rome"}}', ""),
        (json.dumps({"type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}), ""),
        ("[get_weather(city='Rome')]", ""),
        ("get_weather(city='Rome')", ""),
        ("```python\nget_weather(city='Rome')\n```", ""),
        ("<think>\nhm\n</think>\n\n[get_weather(city='Rome')]", ""),
        (f"<TOOLCALL>[{OBJECT}]</TOOLCALL>", ""),  # When2Call, Nemotron
        (f"It needs the city.\n<call>[{OBJECT}]</call>", "It needs the city."),  # BUTTON
        (f"<tool_calls>[{OBJECT}]</tool_calls>", ""),
        (f"<function_call>{OBJECT}</function_call>", ""),
        (f"[TOOL_CALLS] [{OBJECT}]</s>", ""),  # Mistral
        (f"<|python_tag|>{OBJECT}<|eom_id|>", ""),  # Llama 3.1
        ('Thought: The city.\nAction: get_weather\nAction Input: {"city": "Rome"}', "The city."),  # ReAct
        ("Action: get_weather\nAction Input: {'city': 'Rome'}", ""),
        (
            '<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Rome"}'
            "<|tool_call_end|><|tool_calls_section_end|>",
            "",
        ),  # Kimi K2
        ('[TOOL_CALLS]get_weather[ARGS]{"city": "Rome"}', ""),  # Mistral, later form
        ("<answer>[get_weather(city='Rome')]</answer>", ""),
        ('{"action": "get_weather", "action_input": {"city": "Rome"}}', ""),
        ('{"tool": "get_weather", "args": {"city": "Rome"}}', ""),
        ('{"type": "tool_use", "name": "get_weather", "input": {"city": "Rome"}}', ""),
    ],
)
def test_calls(text, beside):
    assert read_assistant(text, NAMES) == ((WEATHER,), beside)


def test_several_calls_and_odd_names():
    calls, _ = read_assistant("[Get Trends(kind='x'), math.add(a=1, b=[2]), get-time()]", NAMES)
    assert [call.name for call in calls] == ["Get Trends", "math.add", "get-time"]
    assert read_assistant(GLAIVE * 2, NAMES)[0] == (WEATHER, WEATHER)
    assert read_assistant(f"<tool_call>{OBJECT}</tool_call>\n" * 2, NAMES)[0] == (WEATHER, WEATHER)


@pytest.mark.parametrize(
    "text",
    [
        "It is sunny in Rome.",
        "[1] says so, and so does [2](http://example.org).",
        '{"temperature": 21, "name": "Rome"}',
        '[{"name": "Ava"}, {"name": "Ben"}]',
        "think",
        "I think (as you do) that f(x) = x.",
        "Use print(a=1) in Python.",
        "The get_weather function (see above) helps.",
        "```python\nprint(1)\n```",
        '{"name": "Rome", "input": "none"}',
    ],
)
def test_texts(text):
    assert read_assistant(text, NAMES) == ((), text)
    assert not looks_like_call(text, NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "<think>hm</think>\n\nIt is sunny.",
        "All is known. <final>It is sunny.</final>",
        "<think>hm</think><answer>It is sunny.</answer>",
        "Thought: I know now.\nFinal Answer: It is sunny.",
    ],
)
def test_a_thought_is_not_part_of_a_text(text):
    assert read_assistant(text, NAMES) == ((), "It is sunny.")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{OBJECT}\n</tool_call>", "a tag is missing"),  # the opening tag is lost
        (f"<tool_call>\n{OBJECT}", "a tag is missing"),
        (f"<tool_call>{OBJECT}</tool_call><tool_call>", "a tag is missing"),
        ("<tool_call>get_weather</tool_call>", "cannot be read"),
        ("<tool_call>{'name': 'get_weather'}</tool_call>", "must have 'name' and 'arguments'"),
        (f"<tool_call>{OBJECT}</tool_call>" * 200, "too many"),
        ("<functioncall> get_weather", "cannot be read"),
        ('<functioncall> {"name": "get_weather", "arguments": \'{broken\'}', "cannot be read"),
        (f"<functioncall>{OBJECT}" * 200, "too many calls"),
        ("[launch_rocket(at=1)]", "'launch_rocket', which is not among the functions"),
        ('{"name": "launch_rocket", "arguments": {}}', "'launch_rocket', which is not among the functions"),
        ('{"name": "get_weather", "arguments": [1]}', "must be an object"),
        (f"[{', '.join([OBJECT] * 200)}]", "more than 128"),
        ("<think>done</think>\n", "nothing after its think block"),
        (" ", "lacks content"),
        ("<think>and so on", "unclosed_think_block"),
        (f"<think><think></think>{OBJECT}", "several_think_blocks"),
        (f"I will call {OBJECT}", "cannot be read"),
        ("I will call get_weather(city='Rome').", "cannot be read"),
        ('get_weather("Rome")', "cannot be read"),
        ("[get_weather('Rome')]", "cannot be read"),
        ("Now: Get Trends(kind='x')", "cannot be read"),
        ("Now get-time()", "cannot be read"),
        ("[TOOL_CALLS] [...]", "cannot be read"),
        ("<|python_tag|>x", "cannot be read"),
        ("<function=get_weather>{}</function>", "cannot be read"),
        ('I would send {"name": "launch", "arguments": {}} there.', "cannot be read"),  # of an unknown function too
        ("I would use {'tool': 'get_weather', 'args': {}} there.", "cannot be read"),
        ("Action: get_weather", "cannot be read"),
        ("Action: get_weather\nAction Input: Rome", "cannot be read"),
        ("Action: think\nAction Input: {}\nObservation: x\nAction: think\nAction Input: {}", "several actions"),
        ('get_weather: {"city": "Rome"}', "cannot be read"),
        ('Function call: get_weather\nArguments: {"city": "Rome"}', "cannot be read"),
        ('{"get_weather": {"city": "Rome"}}', "cannot be read"),
        ("[]", "cannot be read"),
        ("<TOOLCALL>[]</TOOLCALL>", "0 calls"),
        ("<call>soon", "a tag is missing"),
        (f"<tool_call>{OBJECT}</tool_call> and get_weather(city='Oslo')", "cannot be read"),
    ],
)
def test_what_looks_like_a_call_is_no_text(text, reason):
    with pytest.raises(ValueError, match=reason):
        read_assistant(text, NAMES)


def test_call_objects():
    assert call_of({"name": "f", "parameters": {"a": 1}}) == ToolCall("f", {"a": 1})
    assert call_of({"id": "x", "function": {"name": "f", "arguments": ""}}) == ToolCall("f", {})
    assert read_written_calls("sunny") is read_written_calls("[") is read_written_calls("[1]") is None


@pytest.mark.parametrize(
    "text",
    ["<tool_call>" * 90_000, "<functioncall>" * 90_000, "[" * 900_000, "f(" * 400_000, "think(1" * 100_000, " " * 900_000,
     "<tool_call>" + "{'a': " * 90_000 + "</tool_call>", "a" * 900_000 + "(", '"name": "' * 90_000, "```\n" * 200_000,
     "<functioncall> {\"name\": \"f\", \"arguments\": '" + "' " * 300_000, "<think>" * 100_000, "Action: f\n" * 90_000, "Action: f" + "\n" * 900_000, "<call>" * 120 + "x" * 900_000,
     "[TOOL_CALLS]" * 70_000, "<answer>" * 100_000 + "</answer>", '"name": "arguments":' * 40_000],
    ids=range(18),
)  # fmt: skip
def test_hostile_texts_take_no_time(text):
    names = {f"{'x' * index}.think" for index in range(500)}
    start = time.process_time()
    with contextlib.suppress(ValueError):
        read_assistant(text, names)
    assert time.process_time() - start < 1


PIECES = [OBJECT, "<tool_call>", "</tool_call>", "[get_weather(", "city='Rome'", ")]", "<functioncall>", "{", "}", "sunny", "\n",
          "<think>", "</think>", "```", " "]  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_a_text_never_holds_a_call(text):
    try:
        calls, beside = read_assistant(text, NAMES)
    except ValueError:
        return
    assert calls or "get_weather(city" not in beside
    assert not looks_like_call(beside, NAMES)
