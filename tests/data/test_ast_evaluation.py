"""AST evaluation: every reason, counts, and rows of any shape."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.data.ast_evaluation import REASONS, ASTEvaluation, evaluate_row
from egpo_trl.data.duplicates import Duplicates
from egpo_trl.data.leaks import BenchmarkLeaks
from egpo_trl.demo.world import make_rows

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "unit": {"type": "string", "enum": ["C", "F"]},
                    "days": {"type": "integer", "minimum": 1},
                },
                "required": ["city"],
            },
        },
    },
    {"name": "now", "parameters": None},
    {"name": "broken", "parameters": {"properties": {"a": 3}}},
    {"name": "broad", "parameters": {"properties": {"a": {"items": {"enum": list(range(1000))}}}}},
]
PROMPT = [{"role": "user", "content": "Weather in Rome?"}]


def row(*calls, **columns):
    reference = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return {"prompt": PROMPT, "tools": json.dumps(TOOLS), "reference": json.dumps(reference), **columns}


CASES = [
    (row(("weather", {"city": "Rome"})), None),
    (row(("weather", {"city": "Rome", "unit": "C", "days": 2}), ("now", {})), None),
    (row(), None),
    (row(tools=None), None),
    (row(prompt=[]), "malformed_prompt"),
    (row(prompt=[{"content": "x"}]), "malformed_prompt"),
    ({key: value for key, value in row().items() if key != "prompt"}, "malformed_prompt"),
    (row(tools="{"), "malformed_tools"),
    (row(tools=TOOLS), "malformed_tools"),
    (row(tools=3), "malformed_tools"),
    (row(tools='[{"name": "f"}, {"name": "f"}]'), "malformed_tools"),
    (row(tools="[" * 100_000), "malformed_tools"),
    (row(reference="free text"), "malformed_reference"),
    (row(reference=None), "malformed_reference"),
    (row(reference=[]), "malformed_reference"),
    (row(reference="{}"), "malformed_reference"),
    (row(reference='[{"name": "now"}]'), "malformed_reference"),
    (row(reference='[{"name": "now", "arguments": {}, "arguments": {}}]'), "malformed_reference"),
    (row(("now", {}), tools="[]"), "call_not_needed"),
    (row(("now", {}), tools=None), "call_not_needed"),
    (row(("then", {})), "unknown_function"),
    (row(("now", {}), ("Weather", {})), "unknown_function"),
    (row(("weather", {})), "missing_argument"),
    (row(("weather", {"city": "Rome", "town": "x"})), "unexpected_argument"),
    (row(("now", {"city": "Rome"})), "unexpected_argument"),
    (row(("weather", {"city": 3})), "wrong_type"),
    (row(("weather", {"city": "Rome", "days": True})), "wrong_type"),
    (row(("weather", {"city": "Rome", "unit": "K"})), "wrong_value"),
    (row(("weather", {"city": "Rome", "days": 0})), "wrong_value"),
    (row(("broken", {"a": 1})), "invalid_schema"),
    (row(("broad", {"a": [1] * 2000})), "too_large"),
]


@pytest.mark.parametrize(("given_row", "reason"), CASES)
def test_reasons(given_row, reason):
    assert evaluate_row(given_row) == reason


def test_whether_a_call_is_needed():
    assert evaluate_row(row(), call_needed=True) == "call_needed"
    assert evaluate_row(row(), call_needed=False) is None
    assert evaluate_row(row(tools="[]"), call_needed=True) is None  # no function could be called
    assert evaluate_row(row(("now", {})), call_needed=False) == "call_not_needed"
    assert evaluate_row(row(("now", {})), call_needed=True) is None


def test_every_reason_has_a_case():
    assert {reason for _, reason in CASES} | {"call_needed"} == {None, *REASONS}


def test_the_embedded_world_passes():
    assert {evaluate_row(made) for made in make_rows(200)} == {None}


def test_a_stream_keeps_what_passes_and_counts_the_rest():
    rows = [given_row for given_row, _ in CASES]
    dropped = []
    evaluation = ASTEvaluation(iter(rows), on_drop=lambda bad, reason: dropped.append(reason))
    assert list(evaluation) == [given_row for given_row, reason in CASES if reason is None]
    assert evaluation.num_rows == len(CASES)
    assert dropped == [reason for _, reason in CASES if reason]
    assert evaluation.reasons.total() == len(dropped)
    assert evaluation.reasons["wrong_type"] == 2


def test_further_checks_see_only_what_passed():
    leaks = BenchmarkLeaks([("q", "Weather in Rome")], min_words=3)
    other = row(("now", {}), prompt=[{"role": "user", "content": "What time is it?"}])
    rows = [row(("weather", {})), other, other, row(), row()]
    evaluation = ASTEvaluation(rows, [Duplicates(), leaks])
    assert list(evaluation) == [other]
    assert evaluation.reasons == {"missing_argument": 1, "duplicate": 2, "benchmark_leak": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["name", "arguments", "function", "parameters", "properties", "type", "required", "items", "enum", "anyOf",
         "$ref", "a", "additionalProperties", "default", "not", "prefixItems"]) | st.text(max_size=2), inner, max_size=4),
    max_leaves=15,
)  # fmt: skip
SCHEMA = st.fixed_dictionaries({}, optional={"type": JSON, "properties": st.dictionaries(st.just("a"), JSON), "anyOf": JSON,
                                             "required": JSON, "additionalProperties": JSON, "$ref": st.just("#")})  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(SCHEMA, JSON, st.none() | st.booleans())
def test_any_schema_and_any_arguments_get_a_verdict(schema, value, call_needed):
    tools = json.dumps([{"name": "f", "parameters": schema}])
    reference = json.dumps([{"name": "f", "arguments": {"a": value}}])
    for columns in (
        {"tools": tools, "reference": reference},
        {"tools": json.dumps(value), "reference": json.dumps(value)},
    ):
        assert evaluate_row({"prompt": PROMPT, **columns}, call_needed) in (None, *REASONS)
