"""xLAM: the published fields, its type spellings, and malformed records."""

import json

import pytest

from tests.data.sources.converting import convert_records, parameters, reference, without

TOOLS = [
    {
        "name": "live_giveaways_by_type",
        "description": "Retrieve live giveaways by type.",
        "parameters": {
            "type": {"description": "The kind of giveaway.", "type": "str", "default": "game"},
        },
    },
    {
        "name": "trapezoidal_integration",
        "description": "Integrate a function.",
        "parameters": {
            "func": {"description": "Function.", "type": "Callable[[float], float]"},
            "a": {"description": "Lower limit.", "type": "float"},
            "n": {"description": "Subdivisions. Defaults to 1000.", "type": "int, optional"},
            "points": {"description": "Points.", "type": "List[Union[int, float]]"},
            "window": {"description": "Window.", "type": "Optional[Tuple[int, int]]"},
        },
    },
]
RECORD = {
    "id": 7,
    "query": "Where can I find live giveaways for beta access and games?",
    "answers": json.dumps(
        [
            {"name": "live_giveaways_by_type", "arguments": {"type": "beta"}},
            {"name": "live_giveaways_by_type", "arguments": {"type": "game"}},
        ]
    ),
    "tools": json.dumps(TOOLS),
}


def test_published_form(tmp_path):
    (row,), skipped = convert_records(tmp_path, "xlam", [RECORD])
    assert skipped == []
    assert row["id"] == "7"
    assert row["prompt"] == [{"role": "user", "content": RECORD["query"]}]
    assert reference(row) == json.loads(RECORD["answers"])
    schemas = parameters(row)
    # A parameter with the name `type` is a parameter.
    assert schemas["live_giveaways_by_type"] == {
        "type": "object",
        "properties": {"type": {"description": "The kind of giveaway.", "type": "string", "default": "game"}},
        "required": [],
    }
    schema = schemas["trapezoidal_integration"]
    assert schema["required"] == ["func", "a", "points"]
    types = {
        name: {k: v for k, v in item.items() if k != "description"} for name, item in schema["properties"].items()
    }
    pair = {"type": "array", "items": {"type": "integer"}}
    assert types == {
        "func": {},
        "a": {"type": "number"},
        "n": {"type": "integer"},
        "points": {"type": "array", "items": {"type": ["integer", "number"]}},
        "window": {"anyOf": [pair, {"type": "null"}]},
    }


def test_text_and_values_instead_of_strings(tmp_path):
    records = [
        {**RECORD, "answers": "None of these functions helps."},
        {**RECORD, "answers": "[]"},
        {**RECORD, "answers": json.loads(RECORD["answers"]), "tools": TOOLS},
        {**without(RECORD, "id"), "tools": json.dumps(TOOLS[0])},
    ]
    rows, skipped = convert_records(tmp_path, "xlam", records)
    assert skipped == []
    assert [len(reference(row)) for row in rows] == [0, 0, 2, 2]
    assert [row["answer"] for row in rows] == ["None of these functions helps.", None, None, None]
    assert rows[3]["id"] == "xlam-3"


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"query": None}, "query", "message 0 lacks content"),
        ({"query": "  "}, "query", "message 0 lacks content"),
        ({"query": "lone \ud800"}, "prompt", "holds a lone surrogate"),
        ({"tools": None}, "tools", "is missing"),
        ({"tools": "[{"}, "tools", "is not JSON"),
        ({"tools": "3"}, "tools", "must be a list of function schemas"),
        ({"tools": '[{"description": "x"}]'}, "tools", "a function lacks a 'name'"),
        ({"tools": '[{"name": "f", "parameters": []}]'}, "tools", "function 'f': 'parameters' must be an object"),
        ({"tools": '[{"name": "f", "parameters": {"a": 3}}]'}, "tools", "function 'f': a schema must be an object"),
        ({"tools": '[{"name": "f"}, {"name": "f", "parameters": {"a": {}}}]'}, "tools", "has two different schemas"),
        ({"tools": "[" * 200}, "tools", "is not JSON"),
        ({"answers": None}, "answers", "is missing"),
        ({"answers": '[{"name": "f"}]'}, "reference", "calls 'f', which is not among the functions"),
        ({"answers": '[{"arguments": {}}]'}, "answers", "call 0: 'name' must be a non-empty string"),
        ({"answers": '[{"name": "f", "arguments": {"a": NaN}}]'}, "answers", "NaN is not JSON"),
        ({"answers": '[{"name": "f", "arguments": "x"}]'}, "answers", "call 0: "),
        ({"answers": "Call trapezoidal_integration(a=1)."}, "answers", "holds a call, or a piece of one"),
        ({"answers": 5}, "answers", "must be a list of calls"),
    ],
)
def test_malformed_records_are_reported_and_the_others_converted(tmp_path, change, field, reason):
    rows, (skipped,) = convert_records(tmp_path, "xlam", [RECORD, {**RECORD, "id": "bad", **change}, RECORD])
    assert len(rows) == 2
    assert (skipped.index, skipped.field, skipped.id) == (1, field, "bad")
    assert reason in skipped.reason
