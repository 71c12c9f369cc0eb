"""Rows from every place that `dataset_name` can name, and the split by prompt."""

import json

import pytest
from datasets import Dataset, DatasetDict

from egpo_trl.data.loading import load_rows, split_by_prompt
from egpo_trl.demo.world import make_rows

ROWS = make_rows(8)


def test_sources(tmp_path):
    dataset = Dataset.from_list(ROWS)
    dataset.to_json(tmp_path / "rows.jsonl")
    dataset.to_parquet(tmp_path / "rows.parquet")
    dataset.save_to_disk(tmp_path / "saved")
    DatasetDict({"train": dataset}).save_to_disk(tmp_path / "dict")
    (tmp_path / "plain").mkdir()
    dataset.to_json(tmp_path / "plain" / "train.jsonl")
    for name in ("rows.jsonl", "rows.parquet", "saved", "dict", "plain"):
        loaded = load_rows(str(tmp_path / name))
        assert [row["reference"] for row in loaded] == [row["reference"] for row in ROWS]
        assert loaded[0]["prompt"] == ROWS[0]["prompt"]
    assert load_rows("demo", num_demo_rows=8)["id"] == [row["id"] for row in ROWS]
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.jsonl"):
        load_rows(str(tmp_path / "none.jsonl"))
    with pytest.raises(ValueError, match="has the splits"):
        load_rows(str(tmp_path / "dict"), split="validation")


def test_calls_that_come_up_late_in_a_file(tmp_path):
    """`datasets` infers the fields of messages from the first 10 MB."""
    function = {"name": "f", "arguments": '{"a": 1}'}
    call = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "call_0", "type": "function", "function": function}],
    }
    plain = {**ROWS[0], "prompt": [{"role": "user", "content": "x" * 40_000}]}
    late = {**plain, "prompt": [*ROWS[0]["prompt"], call]}
    rows = [{key: row[key] for key in ("prompt", "tools", "reference", "id")} for row in [plain] * 300 + [late]]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    loaded = load_rows(str(file))
    assert loaded[300]["prompt"][1]["tool_calls"] == call["tool_calls"]
    assert loaded[0]["prompt"][0]["tool_calls"] is None
    file.write_text("\n".join(json.dumps({**row, "extra": 1}) for row in rows))
    with pytest.raises(ValueError, match=r"rows\.jsonl' cannot be read: "):
        load_rows(str(file))


def test_split_keeps_prompts_together():
    rows = [{**row, "prompt": [{"role": "user", "content": str(i // 4)}]} for i, row in enumerate(make_rows(80))]
    train, held_out = split_by_prompt(Dataset.from_list(rows), 0.05)
    assert len(train) + len(held_out) == 80
    assert len(held_out) == 4
    assert not {json.dumps(p) for p in train["prompt"]} & {json.dumps(p) for p in held_out["prompt"]}
    again = split_by_prompt(Dataset.from_list(rows), 0.05)[1]
    assert again["id"] == held_out["id"]
    for share, data in ((0.0, rows), (1.0, rows), (0.5, rows[:4])):
        with pytest.raises(ValueError, match="validation_share"):
            split_by_prompt(Dataset.from_list(data), share)
