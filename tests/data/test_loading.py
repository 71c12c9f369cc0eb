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
