"""Exact comparison: typed, unordered over calls, ordered within lists."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.tool_calls.calls import ToolCall
from egpo_trl.tool_calls.matching import compare_calls, values_equal

SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "number"},
        "i": {"type": "integer"},
        "s": {"type": "string"},
        "l": {"type": "array", "items": {"type": "number"}},
        "o": {"type": "object", "properties": {"x": {"type": "float"}, "y": {"type": "integer"}}},
        "u": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/amount"}]},
        "m": {"type": ["number", "null"]},
        "d": {"type": "object", "additionalProperties": {"type": "number"}},
        "p": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "number"}]},
    },
    "$defs": {"amount": {"type": "number"}},
}
SCHEMAS = {"f": SCHEMA, "g": {}}


def f(**arguments):
    return ToolCall("f", arguments)


def g(**arguments):
    return ToolCall("g", arguments)


@pytest.mark.parametrize(
    ("calls", "reference"),
    [
        ([f(n=1)], [f(n=1.0)]),
        ([f(n=2.0)], [f(n=2)]),
        ([f(l=[1, 2.0])], [f(l=[1.0, 2])]),
        ([f(o={"y": 1, "x": 2})], [f(o={"x": 2.0, "y": 1})]),
        ([f(u=3)], [f(u=3.0)]),
        ([f(m=3)], [f(m=3.0)]),
        ([f(d={"k": 1})], [f(d={"k": 1.0})]),
        ([f(p=[1, 2])], [f(p=[1, 2.0])]),
        ([g(), f(i=1)], [f(i=1), g()]),
        ([f(i=1), f(i=1)], [f(i=1), f(i=1)]),
        ([f(n=1), f(n=2)], [f(n=2.0), f(n=1.0)]),
        ([g(a=None)], [g(a=None)]),
    ],
)
def test_equal(calls, reference):
    assert compare_calls(calls, reference, SCHEMAS) is None


@pytest.mark.parametrize(
    ("calls", "reference", "reason"),
    [
        ([f(i=1.0)], [f(i=1)], "wrong_value"),
        ([f(i=True)], [f(i=1)], "wrong_type"),
        ([f(n=True)], [f(n=1)], "wrong_type"),
        ([f(n=1)], [f(n=True)], "wrong_type"),
        ([f(i="1")], [f(i=1)], "wrong_type"),
        ([f(s="A")], [f(s="a")], "wrong_value"),
        ([f(s="a ")], [f(s="a")], "wrong_value"),
        ([f(l=[2, 1])], [f(l=[1, 2])], "wrong_value"),
        ([f(l=[1])], [f(l=[1, 1])], "wrong_value"),
        ([f(o={"x": 1, "y": 1.0})], [f(o={"x": 1, "y": 1})], "wrong_value"),
        ([f(o={"x": 1})], [f(o={"x": 1, "y": 1})], "wrong_value"),
        ([f(p=[1.0, 2])], [f(p=[1, 2])], "wrong_value"),
        ([g(a=1.0)], [g(a=1)], "wrong_value"),  # no schema: numbers keep their type
        ([g(a=0)], [g(a=None)], "wrong_type"),
        ([f(n=1)], [f(n=1, i=2)], "missing_argument"),
        ([f(n=1, i=2)], [f(n=1)], "unexpected_argument"),
        ([g()], [f()], "wrong_function"),
        ([ToolCall("h", {})], [f()], "unknown_function"),
        ([ToolCall("F", {})], [f()], "unknown_function"),
        ([f()], [f(), g()], "missing_call"),
        ([], [f()], "missing_call"),
        ([f(), g()], [f()], "extra_call"),
        ([f(), f()], [f()], "extra_call"),
        ([f(i=1), f(i=1)], [f(i=1), f(i=2)], "wrong_value"),
        ([f(), ToolCall("delete_all", {})], [f()], "unknown_function"),
    ],
)
def test_different(calls, reference, reason):
    assert compare_calls(calls, reference, SCHEMAS) == reason


def test_hostile_schemas_end():
    loop = {"$ref": "#/properties/a", "anyOf": [{"$ref": "#"}, 5, None], "properties": {"a": {"$ref": "#"}}}
    deep: dict = {}
    for _ in range(200):
        deep = {"anyOf": [deep, deep], "properties": {"a": deep}, "type": [[], {}, 5]}
    for schema in (loop, deep, {"properties": 5, "items": 5, "type": 5, "$ref": 5}, {"$ref": "#/x/y/z"}):
        assert compare_calls([f(a={"a": 1})], [f(a={"a": 1.0})], {"f": schema}) == "wrong_value"


def test_values_nested_too_deeply_are_unequal():
    value: list = []
    for _ in range(500):
        value = [value]
    assert not values_equal(value, value, [], {})


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
calls = st.lists(
    st.builds(ToolCall, st.sampled_from("fg"), st.dictionaries(st.sampled_from("nilo"), values, max_size=2)),
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(calls, st.integers(0, 1000))
def test_order_of_calls_does_not_matter_and_equality_is_symmetric(reference, seed):
    shuffled = random.Random(seed).sample(reference, len(reference))
    assert compare_calls(shuffled, reference, SCHEMAS) is None
    if reference:
        assert compare_calls(reference[1:], reference, SCHEMAS) is not None


@settings(max_examples=300, deadline=None)
@given(calls, calls)
def test_symmetric(a, b):
    assert (compare_calls(a, b, SCHEMAS) is None) == (compare_calls(b, a, SCHEMAS) is None)
