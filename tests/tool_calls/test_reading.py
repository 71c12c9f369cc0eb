"""Answers in each syntax: CALL, TEXT or MALFORMED, whatever the text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.tool_calls.calls import State, ToolCall, parse_reference, parse_tools
from egpo_trl.tool_calls.syntaxes.hermes import read_hermes
from egpo_trl.tool_calls.syntaxes.pythonic import read_pythonic

CALL, TEXT, MALFORMED = State


def call(name, **arguments):
    return ToolCall(name, arguments)


def hermes(body: str) -> str:
    return f"<tool_call>\n{body}\n</tool_call>"


F = '{"name": "f", "arguments": {"a": 1}}'


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[f(a=1)]", [call("f", a=1)]),
        ("  [f(a=1, b='x'), g()]\n", [call("f", a=1, b="x"), call("g")]),
        ("<answer>[f(a=1)]</answer>", [call("f", a=1)]),
        ("<answer>\n[f()]\n</answer>", [call("f")]),
        ("[a.b.c(x=None, y=True, z=false, w=null)]", [call("a.b.c", x=None, y=True, z=False, w=None)]),
        (
            "[f(a=-1, b=+2.5, c=[1, (2, 3)], d={'k': {'l': []}})]",
            [call("f", a=-1, b=2.5, c=[1, [2, 3]], d={"k": {"l": []}})],
        ),
        ("[f(a='<think>x</think> [g()] </answer>')]", [call("f", a="<think>x</think> [g()] </answer>")]),
        ("[查询(城市='北京')]", [call("查询", 城市="北京")]),
        ("[f(\n  a=1,\n)]", [call("f", a=1)]),
    ],
)
def test_pythonic_calls(text, calls):
    answer = read_pythonic(text)
    assert answer.state is CALL
    assert list(answer.calls) == calls


@pytest.mark.parametrize(
    "text",
    [
        "", " \n", "<answer></answer>", "[]", "[f]", "f(a=1)", "[f(a=1)", "[f(a=1)] ok", "Sure: [f(a=1)]", "[f(1)]",
        "[f(a=1, a=2)]", "[f(**{'a': 1})]", "[f(*[1])]", "[f(a=g())]", "[f(a=x)]", "[f(a=1+1)]", "[f(a=f'{1}')]",
        "[f(a=lambda: 1)]", "[f(a=[x for x in y])]", "[f(a={1: 2})]", "[f(a={'k': 1, 'k': 2})]", "[f(a={**b})]",
        "[f(a={1, 2})]", "[f(a=b'x')]", "[f(a=1j)]", "[f(a=...)]", "[f(a=1e999)]", "[f(a=-True)]", "[f(a=__import__('os'))]",
        "[f()(a=1)]", "[f[0](a=1)]", "[(f(a=1))][0]", "[f(a=1) if x else g()]", "[f(a:=1)]", "[await f()]",
        "[f(a=" + "9" * 4301 + ")]", "[f(a=" + "[" * 10_000 + "]" * 10_000 + ")]", "[f(a=" + "-" * 100_000 + "1)]",
        "[f(a=" + "not " * 50_000 + "1)]", "[f(a='" + "\\" * 9 + "')]", "[f(a='\ud800')]", "[f(a='\\ud800')]", "[f(a=1)\x00]",
        "[ｆ(a=1)]", "[f(ａ=1)]", "[f.ｇ(a=1)]", "<answer>[f(a=1)]", "[f(a=1)]</answer>", "[f(a=1)]<think>",
        "I call get_weather(city='x')", "get_weather (", "<tool_call>" + F, "{" + F, '"arguments": {', "[" * 300_000,
        "[f(" + "a" * 300_000 + "=1)]", "[f(a=1)];[g()]", "[f(a=1)\n[g()]", "[f(a=yield)]",
    ],
)  # fmt: skip
def test_pythonic_malformed(text):
    assert read_pythonic(text, ["get_weather", "f"]).state is MALFORMED


@pytest.mark.parametrize("text", ["Sure. [f(a=1)]</answer>", "```\n[f(a=1)]</answer>", "<answ```er>[f(a=1)]</answer>"])
def test_a_tag_of_the_answer_is_not_text_beside_calls(text):
    assert read_pythonic(text, ["f"], allow_text=True).state is MALFORMED


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (hermes(F), [call("f", a=1)]),
        (f"<tool_call>{F}</tool_call>", [call("f", a=1)]),
        (f"\n{hermes(F)}\n{hermes(F)}\n", [call("f", a=1)] * 2),
        (f"{hermes(F)}{hermes(F)}", [call("f", a=1)] * 2),
        (hermes('{\n  "arguments": {},\n  "name": "g.h"\n}'), [call("g.h")]),
        (hermes('{"name":"f","arguments":{"t":"</tool_call> <think>"}}'), [call("f", t="</tool_call> <think>")]),
        (hermes('{"name":"f","arguments":{"t":"\\ud83d\\ude00"}}'), [call("f", t="😀")]),
    ],
)
def test_hermes_calls(text, calls):
    answer = read_hermes(text)
    assert answer.state is CALL
    assert list(answer.calls) == calls


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", F, f"<tool_call>{F}", f"{F}</tool_call>", f"Sure! {hermes(F)}", f"{hermes(F)} done", hermes(""),
        hermes("5"), hermes("true"), hermes("null"), hermes(f"[{F}]"), hermes('{"name": "f"}'), hermes('{"arguments": {}}'),
        hermes('{"name": "", "arguments": {}}'), hermes('{"name": 5, "arguments": {}}'), hermes('{"name": "f", "arguments": []}'),
        hermes('{"name": "f", "arguments": "{}"}'), hermes('{"name": "f", "arguments": {}, "id": 1}'),
        hermes('{"name": "f", "name": "g", "arguments": {}}'), hermes('{"name": "f", "arguments": {"a": 1, "a": 2}}'),
        hermes('{"name": "f", "arguments": {"a": NaN}}'), hermes('{"name": "f", "arguments": {"a": Infinity}}'),
        hermes('{"name": "f", "arguments": {"a": 1e999}}'), hermes('{"name": "f", "arguments": {"a": "\\ud800"}}'),
        hermes('{"name": "f", "arguments": {"a": ' + "9" * 4301 + "}}"), hermes("{'name': 'f', 'arguments': {}}"),
        hermes('{"name": "f", "arguments": {"a": ' + "[" * 10_000 + "]" * 10_000 + "}}"), hermes("[" * 100_000),
        hermes('{"name": "f", "arguments": {"a": ' + '{"a":' * 70 + "1" + "}" * 70 + "}}"),
        f"<tool_call><tool_call>{F}</tool_call></tool_call>", f"{hermes(F)}\n<tool_call>\n{{broken}}\n</tool_call>",
        f"{hermes(F)}\n<tool_call>", hermes(F + F), f"<tool_call>{F}</TOOL_CALL>", "<tool_call>" * 50_000, "x" + hermes(F),
        '{"name": "f", "arguments": {}}', "[f(a=1)]", "get_weather(a=1)", "</tool_call>", "I would use <tool_call>.", "<answer>no</answer>",
        "<tool_call>" + '{"name": "f", "arguments": {"a": "' + "x" * 300_000 + '"}}</tool_call>', "<think>hm</think> no",
    ],
)  # fmt: skip
def test_hermes_malformed(text):
    assert read_hermes(text, ["get_weather"]).state is MALFORMED


@pytest.mark.parametrize("read", [read_hermes, read_pythonic])
@pytest.mark.parametrize(
    "text",
    [
        "No listed tool fits this request.",
        "I can't do that (sorry).",
        "Which city? 5 < 7 and 8 > 3.",
        "The price is 3 EUR (about 4 USD).",
        "你好，我没有合适的工具。",
        "f of x equals 2",
    ],
)
def test_text(read, text):
    assert read(text, ["get_weather"]).state is TEXT


@pytest.mark.parametrize("read", [read_hermes, read_pythonic])
def test_a_call_of_an_offered_function_is_never_text(read):
    assert read("get_weather(Paris)", ["get_weather"]).state is MALFORMED


pieces = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "<tool_call>",
                "</tool_call>",
                "<think>",
                "[",
                "]",
                "f(",
                "a=",
                "1",
                ")",
                ",",
                "{",
                "}",
                '"',
                "'",
                F,
                "\\",
                "name",
                ":",
            ]
        ),
        st.text(max_size=8),
    ),
    max_size=20,
).map("".join)


@pytest.mark.parametrize("read", [read_hermes, read_pythonic])
@settings(max_examples=500, deadline=None)
@given(text=pieces)
def test_any_text_gets_a_verdict(read, text):
    answer = read(text, ["f"])
    assert bool(answer.calls) is (answer.state is CALL)
    assert (answer.reason is not None) is (answer.state is MALFORMED)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z]{4}x", fullmatch=True), json_values, max_size=4))
def test_what_is_written_is_what_is_read(arguments):
    import json

    written = json.dumps({"name": "f", "arguments": arguments})
    assert read_hermes(hermes(written)).calls == (ToolCall("f", arguments),)
    keywords = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    assert read_pythonic(f"[f({keywords})]").calls == (ToolCall("f", arguments),)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "Expecting"),
        ('"f"', "must be a list of calls"),
        ('[{"name": "f"}]', "call 0: a call must have the keys"),
        ('[{"name": "f", "arguments": {}}, 5]', "call 1: a call must be an object"),
        ("[]]", "text after"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_malformed_reference(value, message):
    with pytest.raises(ValueError, match=message):
        parse_reference(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{}", "must be a list of function schemas"),
        ('[{"type": "function"}]', "function 0 lacks a 'name'"),
        ('[{"name": "f", "parameters": 5}]', "'parameters' must be a JSON schema"),
        ('[{"name": "f"}, {"name": "f"}]', "is listed twice"),
    ],
)
def test_malformed_tools(value, message):
    with pytest.raises(ValueError, match=message):
        parse_tools(value)


def test_tools_with_and_without_wrapper():
    schema = {"type": "object", "properties": {}}
    wrapped = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    assert parse_tools(wrapped) == parse_tools([{"name": "f", "parameters": schema}]) == {"f": schema}
    assert parse_tools(None) == {}
