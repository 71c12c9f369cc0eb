"""Row checks: every problem names the row, its id, the field and the remedy."""

import json
import logging
import tracemalloc

import pytest
from datasets import Dataset, IterableDataset

from egpo_trl.data.rows import Problem, check_rows, find_bad_rows, row_problem, skip_bad_rows
from egpo_trl.tool_calls.calls import parse_row_tools

GOOD = {"prompt": [{"role": "user", "content": "hi"}], "tools": '[{"name": "f"}]', "reference": "[]", "id": "x"}
FIELDS = ("prompt", "tools", "reference")


def test_a_good_row_has_no_problem():
    assert row_problem(GOOD, 0, FIELDS) is None
    assert row_problem({**GOOD, "prompt": "rendered", "tools": None}, 0, FIELDS) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": ""}, "field 'prompt': must be a non-empty string or list of messages"),
        ({"prompt": [{"content": "hi"}]}, "field 'prompt': message 0 must be an object with a 'role'"),
        ({"prompt": [{"role": "user", "content": None}]}, "message 0 has neither 'content' nor 'tool_calls'"),
        ({"prompt": [{"role": "user", "content": 7}]}, "message 0: 'content' must be a text or a list of parts"),
        ({"prompt": [{"role": "assistant", "tool_calls": [{"function": None}]}]}, "message 0: a call must be"),
        ({"tools": [{"name": "f"}]}, "field 'tools': must be a JSON string, got list; store json.dumps(tools)"),
        ({"tools": "["}, "field 'tools': Expecting value"),
        ({"tools": "[" * 100_000}, "field 'tools': nested too deeply"),
        ({"reference": []}, "field 'reference': must be a JSON string, got list; store json.dumps(calls)"),
        ({"reference": None}, "field 'reference': must be a JSON string, got NoneType"),
        ({"reference": '[{"name": "f", "arguments": {"a": NaN}}]'}, "field 'reference': NaN is not JSON"),
    ],
)
def test_problems(change, message):
    problem = row_problem({**GOOD, **change}, 7, FIELDS)
    assert problem is not None
    assert problem.startswith("row 7 (id 'x'), ")
    assert message in problem


def test_missing_fields():
    assert row_problem({"prompt": "p"}, 3, FIELDS) == "row 3, field 'tools': is missing"


def test_all_bad_rows_are_counted_and_five_are_named():
    rows = [{**GOOD, "id": str(i), "tools": "{"} for i in range(9)]
    with pytest.raises(
        ValueError, match=r"mine: 9 of 9 rows \(100.0%\) cannot be used as they are: 9 malformed"
    ) as error:
        check_rows(Dataset.from_list(rows), "mine", ["prompt"])
    assert str(error.value).count("field 'tools'") == 5
    assert "and 4 more" in str(error.value)


def odd(row):
    return Problem("odd", "its id is odd") if int(row["id"]) % 2 else None


def test_what_happens_to_bad_rows(caplog):
    rows = Dataset.from_list([{**GOOD, "id": str(i)} for i in range(9)])
    with pytest.raises(
        ValueError, match=r"4 of 9 rows \(44.4%\).*: 4 odd\n  row 1 \(id '1'\), its id is odd"
    ) as error:
        check_rows(rows, "mine", ["prompt"], [odd])
    assert "bad_rows: 'drop'" in str(error.value)
    assert check_rows(rows, "mine", ["prompt"], [odd], "drop")["id"] == ["0", "2", "4", "6", "8"]
    assert "4 of 9 rows" in caplog.messages[-1]
    assert check_rows(rows, "mine", ["prompt"], [odd], "keep") is rows
    assert "They are used" in caplog.messages[-1]
    with pytest.raises(ValueError, match="No row is left"):
        check_rows(rows.select([1, 3]), "mine", ["prompt"], [odd], "drop")
    with pytest.raises(ValueError, match="bad_rows must be one of"):
        check_rows(rows, "mine", ["prompt"], [odd], "ignore")
    broken = Dataset.from_list([GOOD, {**GOOD, "tools": "{"}])
    with pytest.raises(ValueError, match="1 malformed"):  # nobody can train on it
        check_rows(broken, "mine", ["prompt"], bad_rows="keep")


def test_processes_share_the_rows():
    rows = Dataset.from_list([{**GOOD, "id": str(i)} for i in range(9)])
    shares = [find_bad_rows(rows, ["prompt"], [odd], share=(rank, 4)) for rank in range(4)]
    assert [list(found) for found in shares] == [[], [1, 5], [], [3, 7]]
    assert {k: v for found in shares for k, v in found.items()} == find_bad_rows(rows, ["prompt"], [odd])


def test_a_check_that_stumbles_is_a_bad_row():
    rows = Dataset.from_list([GOOD])
    with pytest.raises(ValueError, match="it cannot be read: KeyError: 'gone'"):
        check_rows(rows, "mine", ["prompt"], [lambda row: row["gone"]])


def test_columns_that_no_reward_reads_may_be_anything():
    dataset = Dataset.from_list([{**GOOD, "reference": "free text"}])
    check_rows(dataset, "mine", ["prompt"])
    with pytest.raises(ValueError, match="field 'reference'"):
        check_rows(dataset, "mine", ["prompt", "reference"])


def test_streams_lose_their_bad_rows(caplog):
    rows = [GOOD, {**GOOD, "id": "bad", "tools": "{"}, GOOD]
    stream = IterableDataset.from_generator(lambda: iter(rows))
    stream = skip_bad_rows(stream, "train_dataset", ["prompt", "reference"])
    with caplog.at_level(logging.WARNING, "egpo_trl.data.rows"):
        assert [row["id"] for row in stream] == ["x", "x"]
    assert "train_dataset: skipped row 1 (id 'bad'), field 'tools'" in caplog.text


def test_tools_as_a_template_takes_them():
    assert parse_row_tools('[{"name": "f"}]') == [{"name": "f"}]
    assert parse_row_tools("[]") is None
    assert parse_row_tools(None) is None


def test_tools_that_differ_from_row_to_row_do_not_fill_the_memory():
    def tools(index):
        properties = {f"p{i}": {"type": "string", "description": f"{index} {i}"} for i in range(100)}
        return json.dumps([{"name": "f", "parameters": {"type": "object", "properties": properties}}])

    tracemalloc.start()
    for index in range(700):
        parse_row_tools(tools(index))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000, peak
