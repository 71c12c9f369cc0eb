"""Seal-Tools: candidates from the catalogue, typed values, and rows that are a step of their own."""

import json
import shutil
from pathlib import Path

import pytest

from egpo_trl.data.casting import cast_calls
from egpo_trl.data.sources import convert
from egpo_trl.tool_calls.calls import ToolCall

FOLDER = Path(__file__).parent / "samples" / "seal_tools"


def names(row):
    return [tool["function"]["name"] for tool in json.loads(row["tools"])]


def test_candidates(tmp_path):
    (row,) = convert(FOLDER / "train.jsonl", on_skip=lambda skipped: None)
    (again,) = convert(FOLDER / "train.jsonl", on_skip=lambda skipped: None)
    assert names(row) == names(again)
    assert len(names(row)) == 5
    (few,) = convert(FOLDER / "train.jsonl", on_skip=lambda skipped: None, num_tools=1)
    assert names(few) == ["setLight"]
    shutil.copy(FOLDER / "train.jsonl", tmp_path / "train.jsonl")
    skipped = []
    assert list(convert(tmp_path / "train.jsonl", on_skip=skipped.append)) == []
    assert {skip.field for skip in skipped} == {"tools", "calling"}
    (other,) = convert(
        tmp_path / "train.jsonl", "seal_tools", on_skip=lambda _: None, catalogue=str(FOLDER / "tool.jsonl")
    )
    assert names(other) == names(row)
    with pytest.raises(FileNotFoundError, match="catalogue"):
        list(convert(tmp_path / "train.jsonl", "seal_tools", catalogue="none.jsonl"))


def test_a_folder_with_the_catalogue():
    assert [row["id"] for row in convert(FOLDER, on_skip=lambda skipped: None)] == ["s-0"]


def test_what_is_skipped():
    skipped = []
    list(convert(FOLDER / "train.jsonl", on_skip=skipped.append, stated_only=True))
    assert [skip.reason for skip in skipped] == [
        "the query does not hold the value 'True'",
        "has the result of another call as an argument",
        "argument 'level' of 'setLight' is 'a little', not of the declared type integer",
    ]


def test_rows_without_the_function_that_is_called():
    rows = list(convert(FOLDER / "train.jsonl", on_skip=lambda skipped: None, num_tools=3, no_call_share=1.0))
    assert [row["id"] for row in rows] == ["s-0-0", "s-0-1"]
    call, none = rows
    assert json.loads(call["reference"])[0]["name"] == "setLight"
    assert (none["reference"], none["prompt"]) == ("[]", call["prompt"])
    assert len(names(none)) == 3
    assert "setLight" not in names(none)


TOOL = {"function": {"name": "f", "parameters": {"properties": {
    "i": {"type": "integer"}, "n": {"type": "number"}, "b": {"type": "boolean"}, "s": {"type": "string"}, "l": {"type": "array"},
    "o": {"type": "object"}, "x": {}}}}}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"i": "1500"}, {"i": 1500}), ({"i": "60,000"}, {"i": 60000}), ({"i": 2.0}, {"i": 2}), ({"i": "-7"}, {"i": -7}),
        ({"n": "19.5"}, {"n": 19.5}), ({"n": "3"}, {"n": 3}), ({"n": ".5"}, {"n": 0.5}), ({"n": 4}, {"n": 4}), ({"n": "1e3"}, {"n": 1000.0}),
        ({"b": "true"}, {"b": True}), ({"b": "False"}, {"b": False}), ({"b": True}, {"b": True}),
        ({"s": "x"}, {"s": "x"}), ({"s": 5}, {"s": "5"}), ({"l": "[1, 2]"}, {"l": [1, 2]}), ({"l": "['a']"}, {"l": ["a"]}),
        ({"o": '{"a": 1}'}, {"o": {"a": 1}}), ({"x": "1"}, {"x": "1"}), ({"unknown": "1"}, {"unknown": "1"}),
        ({"i": "2.5"}, None), ({"i": "a"}, None), ({"i": True}, None), ({"i": None}, None), ({"i": ""}, None), ({"i": "1,5"}, None),
        ({"n": "per month"}, None), ({"n": [1]}, None), ({"n": "nan"}, None), ({"n": "."}, None), ({"n": "9" * 400}, None),
        ({"b": "yes"}, None), ({"b": 1}, None), ({"s": True}, None), ({"s": ["a"]}, None), ({"l": "a"}, None), ({"o": "[1]"}, None),
    ],
)  # fmt: skip
def test_types(given, wanted):
    if wanted is None:
        with pytest.raises(ValueError, match="not of the declared type"):
            cast_calls([ToolCall("f", given)], [TOOL])
        return
    (call,) = cast_calls([ToolCall("f", given)], [TOOL])
    assert call.arguments == wanted
    assert [type(value) for value in call.arguments.values()] == [type(value) for value in wanted.values()]
