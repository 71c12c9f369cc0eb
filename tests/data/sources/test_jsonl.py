"""Rows of a user's own."""

import json

import pytest

from egpo_trl.demo.world import make_rows
from tests.data.sources.converting import convert_records, parameters, reference

RECORD = {
    "prompt": "Weather in Rome?",
    "tools": [{"name": "weather", "parameters": {"city": "str", "days": "int, optional"}}],
    "reference": [{"name": "weather", "arguments": {"city": "Rome"}}],
}


def test_values_and_strings(tmp_path):
    messages = [{"role": "user", "content": "Weather in Rome?"}]
    strings = {
        "prompt": json.dumps(messages),
        "tools": json.dumps(RECORD["tools"]),
        "reference": json.dumps(RECORD["reference"]),
    }
    rows, skipped = convert_records(tmp_path, "jsonl", [RECORD, strings, {**RECORD, "tools": None, "reference": []}])
    assert skipped == []
    assert [row["prompt"] for row in rows] == [messages] * 3
    assert reference(rows[0]) == reference(rows[1]) == RECORD["reference"]
    assert parameters(rows[0]) == parameters(rows[1])
    assert parameters(rows[0])["weather"]["required"] == ["city"]
    assert (rows[2]["tools"], rows[2]["reference"]) == ("[]", "[]")


def test_the_text_of_a_right_answer_is_kept(tmp_path):
    records = [{**RECORD, "reference": [], "answer": "Which day?"}, {**RECORD, "answer": ["not looked at"]}]
    rows, skipped = convert_records(tmp_path, "jsonl", records)
    assert skipped == []
    assert [row["answer"] for row in rows] == ["Which day?", None]


def test_canonical_rows_stay(tmp_path):
    made = make_rows(5)
    rows, skipped = convert_records(tmp_path, "jsonl", made)
    assert skipped == []
    for row, original in zip(rows, made, strict=True):
        assert row["id"] == original["id"]
        assert row["prompt"] == original["prompt"]
        assert json.loads(row["tools"]) == json.loads(original["tools"])
        assert json.loads(row["reference"]) == json.loads(original["reference"])


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"prompt": None}, "prompt", "is missing"),
        ({"prompt": ""}, "prompt", "lacks content"),
        ({"prompt": []}, "prompt", "must be a non-empty list"),
        ({"prompt": [{"role": "system", "content": " "}]}, "prompt", "lacks a message with content"),
        ({"tools": "{"}, "tools", "is not JSON"),
        ({"reference": None}, "reference", "is missing"),
        ({"reference": "free text"}, "reference", "is not JSON"),
        ({"reference": [{"name": "f"}]}, "reference", "call 0"),
        ({"reference": [], "answer": 3}, "answer", "must be a text, got int"),
        ({"reference": [], "answer": "weather(city='Rome')"}, "answer", "calls belong in 'reference'"),
        ({"reference": [], "answer": 'weather: {"city": "Rome"}'}, "answer", "calls belong in 'reference'"),
    ],
)
def test_malformed_records(tmp_path, change, field, reason):
    rows, (skipped,) = convert_records(tmp_path, "jsonl", [RECORD, {**RECORD, **change}, RECORD])
    assert len(rows) == 2
    assert (skipped.index, skipped.field) == (1, field)
    assert reason in skipped.reason
