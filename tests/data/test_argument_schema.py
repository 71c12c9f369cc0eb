"""Compiled schemas agree with jsonschema on plain ones, and hostile ones end soon."""

import time

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.data import argument_schema
from egpo_trl.data.argument_schema import Arguments, InvalidSchema

INTEGER = {"type": "integer"}


def problem(schema, **arguments):
    found = Arguments({"type": "object", **schema}).problem(arguments)
    return None if found is None else str(found)


def of(schema, value):
    return problem({"properties": {"a": schema}}, a=value)


def test_names_at_the_top():
    patterns = {"properties": {"a": INTEGER}, "patternProperties": {"^x-": {}}, "additionalProperties": False}
    assert problem(patterns, **{"a": 1, "x-b": 2}) is None
    assert problem(patterns, a="x") == "wrong_type"
    either = {"properties": {"a": INTEGER, "b": INTEGER}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert problem(either, a=1) is None
    assert problem(either, a=1, c=2) == "unexpected_argument"
    assert problem({"properties": {"a": INTEGER}, "required": ["a"], "nullable": True}) == "missing_argument"
    pointed = {"properties": {"a": {"$ref": "#/$defs/n", "nullable": True}}, "$defs": {"n": INTEGER}}
    assert problem(pointed, a=None) is None
    assert problem(pointed, a="x") == "wrong_type"


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        ({"type": "string"}, "x", None),
        ({"type": "string"}, 3, "wrong_type"),
        ({"type": "string"}, None, "wrong_type"),
        ({"type": "string", "default": None}, None, None),
        ({"type": "string", "enum": ["a"], "default": "n/a"}, "n/a", None),
        ({"type": "string", "nullable": True}, None, None),
        ({"type": "string", "enum": ["a"], "nullable": True}, None, None),
        ({"type": "string", "enum": ["a"], "nullable": True}, "b", "wrong_value"),
        ({"type": ["string", "integer"], "nullable": True}, None, None),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": True}, None, None),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": True}, [], "wrong_type"),
        ({"allOf": [{"type": "string"}], "nullable": True}, None, None),
        ({"nullable": True}, 3, None),
        ({"type": "string[]"}, ["x"], None),
        ({"type": "string[]"}, [1], "wrong_type"),
        ({"type": "string[]"}, "x", "wrong_type"),
        ({"type": "object", "patternProperties": {"^x-": {}}, "additionalProperties": False}, {"x-1": 3}, None),
        ({"type": "object", "patternProperties": {"^x-": {}}, "properties": {"b": INTEGER}}, {"b": "x"}, "wrong_type"),
        ({"type": "integer"}, 3, None),
        ({"type": "integer"}, 3.0, "wrong_type"),  # the reward compares 3 with 3.0 and finds them different
        ({"type": "integer"}, 3.5, "wrong_type"),
        ({"type": "integer"}, True, "wrong_type"),
        ({"type": "integer"}, "3", "wrong_type"),
        ({"type": "number"}, 3, None),
        ({"type": "number"}, False, "wrong_type"),
        ({"type": "boolean"}, 1, "wrong_type"),
        ({"type": "boolean"}, True, None),
        ({"type": "dict"}, {}, None),
        ({"type": "float"}, "x", "wrong_type"),
        ({"type": ["string", "null"]}, None, None),
        ({"type": ["string", "null"]}, 3, "wrong_type"),
        ({"type": "any"}, object, None),
        ({"enum": ["a", 1]}, "a", None),
        ({"type": "string", "enum": ["a"]}, "b", "wrong_value"),
        ({"type": "string", "enum": ["a"]}, 1, "wrong_type"),
        ({"enum": [1]}, True, "wrong_value"),
        ({"const": 3}, 4, "wrong_value"),
        ({"minimum": 3}, 2, "wrong_value"),
        ({"type": "array", "items": {"type": "integer"}}, [1, "2"], "wrong_type"),
        ({"type": "array", "items": {"enum": ["x"]}}, ["y"], "wrong_value"),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}}, [1, "x"], None),
        ({"type": "array", "minItems": 2}, [1], "wrong_value"),
        ({"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}, {}, "missing_argument"),
        ({"type": "object", "properties": {"b": {}}, "additionalProperties": False}, {"c": 1}, "unexpected_argument"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"c": "x"}, "wrong_type"),
        ({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}, [1], None),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "x", "wrong_type"),
        ({"not": {"type": "integer"}}, 3, "wrong_value"),
        (True, 3, None),
        (False, 3, "wrong_value"),
        ("int", "x", "wrong_type"),
        ({"pattern": "(", "format": "email", "uniqueItems": True, "$dynamicRef": "http://x"}, "aa", None),
    ],
)
def test_values(schema, value, reason):
    assert of(schema, value) == reason


def test_names():
    schema = {"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a", 3]}
    assert problem(schema, a=1) is None
    assert problem(schema, b=1) == "missing_argument"
    assert problem(schema, a=1, c=1) == "unexpected_argument"
    assert problem({**schema, "additionalProperties": {}}, a=1, c=1) is None
    assert problem({**schema, "additionalProperties": True}, a=1, c=1) is None
    assert problem({}) is None
    assert problem({}, a=1) == "unexpected_argument"


def test_branches_at_top_level():
    branches = [
        {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"properties": {"b": {}}, "required": ["b"]},
    ]
    schema = {"anyOf": branches}
    assert problem(schema, a=1) is None
    assert problem(schema, b="x") is None
    assert problem(schema, c="x") == "unexpected_argument"
    assert problem(schema, a="x") == "wrong_type"
    assert problem({"properties": {"c": {}}, "allOf": branches}, a=1, b=1, c=1) is None
    assert problem({"anyOf": [{}]}, c=1) is None


def test_local_references():
    tree = {"type": "object", "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}  # fmt: skip
    schema = {"properties": {"t": {"$ref": "#/$defs/tree"}}, "$defs": {"tree": tree, "a/b": {"type": "integer"}}}
    assert problem(schema, t={"value": 1, "children": [{"value": 2}]}) is None
    assert problem(schema, t={"value": 1, "children": [{"value": "2"}]}) == "wrong_type"
    escaped = {**schema, "properties": {"t": {"$ref": "#/$defs/a~1b", "type": "integer", "minimum": 3}}}
    assert problem(escaped, t=3) is None
    assert problem(escaped, t=2) == "wrong_value"
    assert (
        problem({"properties": {"t": {"$ref": "https://example.com/x.json"}, "u": {"$ref": "#/none"}}}, t=1, u=2)
        is None
    )


def doubling(keyword, levels=40):
    """Every level names the next one twice: written out, 2 ** levels places."""
    pair = [{"$ref": f"#/$defs/{i + 1}"} for i in range(levels) for _ in "ab"]
    definitions = {str(i): {keyword: pair[2 * i : 2 * i + 2]} for i in range(levels)}
    return {"properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": {**definitions, str(levels): {"type": "string"}}}


def nested(levels):
    schema = {"type": "string"}
    for _ in range(levels):
        schema = {"anyOf": [schema, {"items": schema}]}  # shared, so small in memory
    return {"properties": {"a": schema}}


HOSTILE = {
    "itself": {"$ref": "#"},
    "itself in a property": {"properties": {"a": {"$ref": "#/properties/a"}}},
    "itself twice": {"properties": {"a": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}},
    "doubling anyOf": doubling("anyOf"),
    "doubling allOf": doubling("allOf"),
    "doubling oneOf": doubling("oneOf"),
    "doubling by nesting": nested(40),
    "catastrophic pattern": {"properties": {"a": {"pattern": "(a+)+$"}}, "patternProperties": {"(a+)+$": {}}},
    "many values": {"properties": {"a": {"enum": list(range(20_000))}}},
    "properties are a list": {"properties": [1]},
    "a property is a number": {"properties": {"a": 3}},
    "required is a number": {"properties": {"a": {}}, "required": 3},
    "types of types": {"properties": {"a": {"type": {"type": []}}}},
    "odd bounds": {"properties": {"a": {"minLength": "x", "minimum": None, "enum": 3, "anyOf": {}, "items": []}}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schemas_end_soon(name):
    start = time.process_time()
    for value in ("a" * 50_000 + "!", [[]] * 5000, 3):
        try:
            found = Arguments(HOSTILE[name]).problem({"a": value})
        except InvalidSchema:
            continue
        assert found in (None, "wrong_type", "wrong_value", "too_large", "unexpected_argument")
    assert time.process_time() - start < 5


def test_large_schemas_on_large_values_are_refused():
    schema = {"properties": {"a": {"type": "array", "items": {"anyOf": [{"minimum": i} for i in range(500)]}}}}
    assert Arguments(schema).problem({"a": [1] * 2000}) == "too_large"
    assert Arguments(schema).problem({"a": [1] * 20}) is None


PLAIN = st.recursive(
    st.sampled_from([{"type": t} for t in "string integer number boolean array object null".split()] + [{}, {"enum": [1, "a"]}]),
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda a, r: {"type": "object", "properties": {"x": a}, "required": ["x"] * r}, inner, st.integers(0, 1)),
        st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
    ),
    max_leaves=5,
)  # fmt: skip
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["a", "b", 1.5]),  # 2.0 differs on purpose
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
    max_leaves=5,
)


@settings(deadline=None, max_examples=300)
@given(PLAIN, VALUE)
def test_the_verdict_is_that_of_jsonschema(schema, value):
    valid = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (of(schema, value) is None) == valid


def test_bounds_are_what_the_docs_say():
    assert (argument_schema.MAX_NODES, argument_schema.MAX_WORK) == (10_000, 500_000)
