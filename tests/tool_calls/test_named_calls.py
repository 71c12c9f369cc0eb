"""Pythonic calls with names that are no identifiers, and single literals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.tool_calls.calls import ToolCall
from egpo_trl.tool_calls.named_calls import read_named_calls, write_calls
from egpo_trl.tool_calls.syntaxes.pythonic import read_literal


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[f()]", [("f", {})]),
        ("[f(), ]", [("f", {})]),
        ("[ Get Weather (city='Rome') ]", [("Get Weather", {"city": "Rome"})]),
        ("[a.b/c-d: e(x=1)]", [("a.b/c-d: e", {"x": 1})]),
        (
            "[f(from=1, class='x', a b=[1, (2)], $c={'k': true})]",
            [("f", {"from": 1, "class": "x", "a b": [1, 2], "$c": {"k": True}})],
        ),
        ("[f(a='g(b=1), h(', c=\"it's, [x=\")]", [("f", {"a": "g(b=1), h(", "c": "it's, [x="})]),
        ("[f(a=1,), g h(b={'x=': [1, 2]},)]", [("f", {"a": 1}), ("g h", {"b": {"x=": [1, 2]}})]),
        ("[名前(値=1)]", [("名前", {"値": 1})]),
        ("[name_1(name_0=1)]", [("name_1", {"name_0": 1})]),
    ],
)
def test_calls(text, calls):
    assert read_named_calls(text) == tuple(ToolCall(name, arguments) for name, arguments in calls)


@pytest.mark.parametrize(
    "text",
    ["", "f()", "[]", "[f]", "[f(1)]", "[f(x)]", "[f(a=g(b=1))]", "[f(a=1, a=2)]", "[f(a =1,  a=2)]", "[f(**{})]", "[(a=1)]",
     "[f(=1)]", "[f()](g)", "[f()] and text", "[f(a='x)]", "[f(a=1]", "[f(a=1), 3]", "[f(a=" + "[" * 1000, "[f(a=1)" * 50_000,
     "[f(a=__import__('os'))]", "[f().g(a=1)]", "[f(a=1)(b=2)]"],
)  # fmt: skip
def test_no_calls(text):
    assert read_named_calls(text) is None


NAME = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="[](){}'\",=#\\"), min_size=1).map(
    str.strip
).filter(bool)  # fmt: skip
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(-1e12, 1e12) | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="ab='[", max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(st.builds(ToolCall, NAME, st.dictionaries(NAME, VALUE, max_size=3)), min_size=1, max_size=3))
def test_what_is_written_reads_back(calls):
    assert read_named_calls(write_calls(calls)) == tuple(calls)


@settings(deadline=None, max_examples=500)
@given(st.text(alphabet="[](){}fg ab='\",1.\\n=*#\n", max_size=30))
def test_any_text_gets_a_verdict(text):
    calls = read_named_calls(text)
    assert calls is None or all(isinstance(call, ToolCall) for call in calls)


def test_literals():
    assert read_literal("{'a': [True, None, (1, -2.5)], 'b': \"it's\"}") == {"a": [True, None, [1, -2.5]], "b": "it's"}
    for text in ("", "f()", "1, b=2", "1), g(c=2", "x", "{1: 2}", "[" * 1000, "1 +", "1))]"):
        with pytest.raises(ValueError):  # noqa: PT011
            read_literal(text)
