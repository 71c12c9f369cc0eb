"""Duplicates: the same prompt and functions, however written."""

import json

from egpo_trl.data.duplicates import Duplicates, row_digest

ROW = {
    "prompt": [{"role": "user", "content": "Hi"}],
    "tools": '[{"name": "f", "parameters": {}}]',
    "reference": "[]",
}


def test_the_same_row_written_in_other_ways():
    same = [
        ROW,
        {**ROW, "reference": '[{"name": "f", "arguments": {}}]', "id": "other"},
        {**ROW, "prompt": [{"content": "Hi", "role": "user", "tool_calls": None}]},
        {**ROW, "tools": '[ {"parameters":{}, "name":"f"} ]'},
    ]
    check = Duplicates()
    assert [check(row) for row in same] == [None, "duplicate", "duplicate", "duplicate"]


def test_other_rows_are_no_duplicates():
    different = [
        ROW,
        {**ROW, "prompt": [{"role": "user", "content": "hi"}]},
        {**ROW, "prompt": [*ROW["prompt"], {"role": "assistant", "content": "Hi"}]},
        {**ROW, "prompt": "Hi"},
        {**ROW, "tools": "[]"},
        {**ROW, "tools": "broken"},
        {**ROW, "prompt": [{"role": "user", "content": "\ud800"}]},
    ]
    check = Duplicates()
    assert {check(row) for row in different} == {None}
    assert len({row_digest(row) for row in different}) == len(different)
    assert row_digest({**ROW, "tools": None}) == row_digest({**ROW, "tools": "[]"})


def test_only_hashes_are_kept():
    check = Duplicates()
    for number in range(100):
        check({**ROW, "prompt": [{"role": "user", "content": f"{number}" * 1000}]})
    assert {len(digest) for digest in check._seen} == {16}


def test_a_prompt_nested_without_end_is_no_duplicate():
    nested = json.loads("[" * 900 + "]" * 900)
    for _ in range(300):
        nested = [nested]
    check = Duplicates()
    assert check({"prompt": nested}) is None
    assert check({"prompt": nested}) is None
