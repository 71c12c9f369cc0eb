"""Conversion as a whole: options, counts, memory, and records of any shape."""

import json
import logging
import tracemalloc

import pytest
from datasets import Dataset, IterableDataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from egpo_trl.data.loading import ROW_FEATURES
from egpo_trl.data.rows import check_rows
from egpo_trl.data.sources import Skipped, convert
from tests.data.sources.test_formats import SAMPLES
from tests.data.sources.test_hermes import RECORD as HERMES
from tests.data.sources.test_jsonl import RECORD as JSONL
from tests.data.sources.test_messages import RECORD as MESSAGES
from tests.data.sources.test_sharegpt import APIGEN_MT, PARALLEL
from tests.data.sources.test_toolace import RECORD as TOOLACE
from tests.data.sources.test_xlam import RECORD as XLAM

RECORDS = {
    **{source: record for source, record in SAMPLES.items() if source not in ("bfcl", "seal_tools", "toolalpaca")},
    "xlam": XLAM, "toolace": TOOLACE, "hermes": HERMES, "messages": MESSAGES, "sharegpt": PARALLEL,
    "apigen_mt": APIGEN_MT, "jsonl": JSONL,
}  # fmt: skip


def test_errors(tmp_path):
    with pytest.raises(ValueError, match=r"source must be one of \('api_bank'.*got 'none'"):
        convert("x.jsonl", "none")
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*none\.jsonl"):
        convert(str(tmp_path / "none.jsonl"), "xlam")
    with pytest.raises(ValueError, match="the source 'xlam' has no option 'keep_system'"):
        convert(str(tmp_path), "xlam", keep_system=True)


def test_skipped_records_are_logged_and_each_iteration_starts_again(tmp_path, caplog):
    file = tmp_path / "records.jsonl"
    file.write_text("\n".join([json.dumps(XLAM), "{broken", json.dumps({**XLAM, "id": "b", "query": 3})]))
    conversion = convert(str(file), "xlam")
    with caplog.at_level(logging.WARNING, "egpo_trl.data.sources"):
        assert len(list(conversion)) == len(list(conversion)) == 1
    assert (conversion.num_records, conversion.num_rows) == (3, 1)
    assert conversion.skipped == {"record": 1, "query": 1}
    assert caplog.messages[1] == "skipped record 2 (id 'b'), field 'query': message 0 lacks content"
    assert str(Skipped(4, "f", "r")) == "record 4, field 'f': r"


@pytest.mark.parametrize("source", RECORDS)
def test_a_file_of_lines_an_array_and_a_folder_give_the_same(tmp_path, source):
    records = [RECORDS[source]] * 3
    (tmp_path / "records.jsonl").write_text("\n".join(map(json.dumps, records)))
    (tmp_path / "records.json").write_text(json.dumps(records, indent=2))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.json").write_text(json.dumps(records[:1]))
    (tmp_path / "folder" / "b.jsonl").write_text("\n".join(map(json.dumps, records[1:])))
    rows = [list(convert(str(tmp_path / name), source)) for name in ("records.jsonl", "records.json", "folder")]
    assert rows[0]
    assert rows[0] == rows[1] == rows[2]


def test_memory_does_not_grow_with_the_file(tmp_path):
    record = {**XLAM, "query": "q" * 8000}
    for name in ("records.jsonl", "records.json"):
        lines = [json.dumps(record)] * 1000
        (tmp_path / name).write_text("\n".join(lines) if name.endswith("l") else f"[{', '.join(lines)}]")
        tracemalloc.start()
        assert sum(1 for _ in convert(str(tmp_path / name), "xlam")) == 1000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (tmp_path / name).stat().st_size > 7_000_000
        assert peak < 6_000_000


def test_rows_of_all_sources_make_one_data_set(tmp_path):
    rows = []
    for source, record in RECORDS.items():
        (tmp_path / f"{source}.jsonl").write_text(json.dumps(record))
        rows.append(convert(str(tmp_path / f"{source}.jsonl"), source))
    dataset = Dataset.from_list([row for conversion in rows for row in conversion], features=ROW_FEATURES)
    check_rows(dataset, "all", ["prompt", "reference"])
    assert set(dataset["source"]) == RECORDS.keys()
    stream = IterableDataset.from_generator(lambda: iter(rows[0]), features=ROW_FEATURES)
    assert [row["reference"] for row in stream] == [row["reference"] for row in rows[0]]


def test_what_is_no_utf8_is_skipped(tmp_path):
    """Not replaced by another character; and no row stops the writing of a file."""
    good = json.dumps({**XLAM, "id": "good"}).encode()
    broken = good.replace(b'"query": "', b'"query": "caf\xe9 ')
    (tmp_path / "array.json").write_bytes(b"[" + broken + b", " + good + b"]")
    (tmp_path / "lines.jsonl").write_bytes(broken + b"\n" + good)
    for name in ("array.json", "lines.jsonl"):
        conversion = convert(str(tmp_path / name), "xlam", on_skip=lambda skipped: None)
        assert [row["id"] for row in conversion] == ["good"]
        assert conversion.skipped.total() == 1


@pytest.mark.parametrize(
    "early",
    [
        {"role": "tool", "name": "\ud800", "content": "x"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": "\ud800"}}}]},
    ],
)
def test_surrogates_anywhere_in_a_prompt_are_skipped(tmp_path, early):
    messages = [early, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    (tmp_path / "records.jsonl").write_text(json.dumps({"messages": messages}) + "\n" + json.dumps(MESSAGES))
    skipped = []
    rows = list(convert(str(tmp_path / "records.jsonl"), "messages", on_skip=skipped.append))
    assert [(skip.index, skip.reason) for skip in skipped] == [(0, "holds a lone surrogate")]
    Dataset.from_list(rows, features=ROW_FEATURES).to_parquet(tmp_path / "rows.parquet")


SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["name", "arguments", "function", "parameters", "properties", "type", "required", "items", "enum", "from",
         "value", "role", "content", "tool_calls", "id", "default", "anyOf"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def places(value, path=()):
    """Paths of all places of a JSON value, those in JSON strings not."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: replaced(value[key], rest, new)}
    return [*value[:key], replaced(value[key], rest, new), *value[key + 1 :]]


def opened(record):
    """The record with its JSON strings as values, so that their insides change too."""
    result = dict(record)
    for key in ("tools", "answers", "messages", "reference"):
        if isinstance(result.get(key), str):
            result[key] = json.loads(result[key])
    return result


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_change_of_a_record_is_converted_or_skipped(data):
    source = data.draw(st.sampled_from(sorted(RECORDS)))
    record = opened(RECORDS[source])
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(list(places(record))))
        record = replaced(record, path, data.draw(JSON | st.dictionaries(st.text(max_size=3), JSON, max_size=2)))
        if not isinstance(record, dict):
            return
    conversion = convert("unused", source, on_skip=lambda skipped: None)
    conversion._read = lambda _: iter([record, RECORDS[source]])
    assert len(list(conversion)) >= 1
    assert conversion.num_records == 2
