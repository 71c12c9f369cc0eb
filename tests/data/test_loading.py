"""Rows from every place that `dataset_name` can name, and the split by prompt."""

import json

import pytest
from datasets import Dataset, DatasetDict

from egpo_trl.data.loading import ROW_FEATURES, in_paper_style, load_rows, split_by_prompt
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
    for row in rows:
        row["answer"] = None if row["prompt"] == plain["prompt"] else "It is 1."
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    loaded = load_rows(str(file))
    assert loaded[300]["prompt"][1]["tool_calls"] == call["tool_calls"]
    assert loaded[0]["prompt"][0]["tool_calls"] is None
    assert (loaded[0]["answer"], loaded[300]["answer"]) == (None, "It is 1.")
    file.write_text("\n".join(json.dumps({**row, "extra": 1}) for row in rows))
    with pytest.raises(ValueError, match=r"rows\.jsonl' cannot be read: "):
        load_rows(str(file))


@pytest.mark.parametrize("features", [ROW_FEATURES, None])
def test_the_style_of_the_paper_where_calls_come_up_late(features):
    """`map` takes the types of the first rows for those of all."""
    call = {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    plain = {key: ROWS[0][key] for key in ("prompt", "tools", "reference", "id", "source")} | {"answer": "x"}
    history = [
        *plain["prompt"],
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call]},
        {"role": "tool", "content": "1", "tool_call_id": "toolu_1", "name": "f"},
    ]
    rows = Dataset.from_list([plain] * 1100 + [{**plain, "prompt": history}], features=features)
    found = in_paper_style(rows, ("<r>", "</r>"))
    assert "<r></r>" in found[0]["prompt"][0]["content"]
    assert found[1100]["prompt"][-2]["content"] == "Let me look.\n[f(a=1)]"
    assert [message["role"] for message in found[1100]["prompt"]] == ["system", "user", "assistant", "user"]
    assert found.column_names == rows.column_names


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


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_texts_that_look_like_times_stay_texts(tmp_path, suffix):
    """`datasets` reads a column as time where all of its texts look like it."""
    rows = [{key: row[key] for key in ("prompt", "tools", "reference")} for row in ROWS]
    for index, row in enumerate(rows):
        row |= {"id": f"2024-03-0{index + 1}", "answer": None, "source": "2024-01-01", "prompt": prompt("2024-01-01")}
    rows[1] |= {"answer": "2024-05-01T10:00:00Z", "extra": 3}
    file = tmp_path / f"rows.{suffix}"
    file.write_text("\n".join(map(json.dumps, rows)) if suffix == "jsonl" else json.dumps(rows))
    loaded = load_rows(str(file))
    assert [row["id"] for row in loaded] == [row["id"] for row in rows]
    assert loaded[0]["prompt"] == rows[0]["prompt"]
    assert (loaded[0]["answer"], loaded[1]["answer"]) == (None, "2024-05-01T10:00:00Z")
    assert (loaded[0]["extra"], loaded[1]["extra"]) == (None, 3)
    rows[0]["id"] = "2025-03-01"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert load_rows(str(file))[0]["id"] == "2025-03-01"


def test_texts_that_look_like_times_in_the_first_part_of_a_file(tmp_path):
    row = {key: ROWS[0][key] for key in ("tools", "reference")} | {"prompt": prompt("x" * 40_000)}
    rows = [{**row, "id": "2024-03-01"}] * 300 + [{**row, "id": "a"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    loaded = load_rows(str(tmp_path / "rows.jsonl"))
    assert (loaded[0]["id"], loaded[300]["id"]) == ("2024-03-01", "a")


def prompt(text):
    return [{"role": "user", "content": text}]
