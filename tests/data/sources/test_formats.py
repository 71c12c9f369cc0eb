"""Every public format, on a small file in its form, without naming it. A further format is a file and a line here."""

import csv
import gzip
import json
import shutil
from pathlib import Path

import pytest
from datasets import Dataset

from egpo_trl.cli import main
from egpo_trl.data.records import Unconvertible, read_records
from egpo_trl.data.sources import SOURCES, UnknownFormat, convert, discover, recognise
from tests.data.sources.converting import parameters, reference

FOLDER = Path(__file__).parent / "samples"
DIM = {"name": "set_light", "arguments": {"room": "kitchen", "level": 40}}
LIST = {"name": "list_rooms", "arguments": {}}


def named(name):
    return {**DIM, "name": name}


# file, source, what is right in each row (calls, or a text), records that are skipped
FORMATS = [
    ("anthropic.jsonl", "messages", [[DIM, LIST], "Kitchen and hall."], 0),
    ("api_bank.json", "api_bank", [[named("SetLight")], "Dimmed.", [named("SetLight")]], 0),
    ("api_bank_published.json", "api_bank", [[DIM], "Dimmed.", [DIM]], 1),
    ("apigen_mt.json", "apigen_mt", [[DIM], "Dimmed."], 0),
    ("bfcl.jsonl", "bfcl", [[DIM]], 0),
    ("bitagent.jsonl", "messages", [[DIM], "Dimmed."], 0),
    ("button.jsonl", "messages", [[DIM, LIST], "The kitchen is at 40; there are a kitchen and a hall."], 0),
    ("chat_completions.jsonl", "messages", [[DIM], "Dimmed."], 0),
    ("glaive_v1.jsonl", "glaive", [[DIM], "Done."], 0),
    ("glaive_v2.jsonl", "glaive", [[DIM], "The kitchen is at 40 now.", [LIST], "I can't order food."], 0),
    ("hermes.json", "hermes", [[DIM], "Dimmed."], 0),
    ("mcp_tools.jsonl", "messages", [[DIM]], 0),
    ("nemotron.jsonl", "messages", [[DIM], "Dimmed."], 0),
    ("nemotron_rl.jsonl", "responses", [[DIM], "To which level?"], 0),
    ("own.jsonl", "jsonl", [[DIM]], 0),
    ("responses.jsonl", "responses", [[DIM], [DIM], "Dimmed."], 0),
    (
        "seal_tools/train.jsonl",
        "seal_tools",
        [[{"name": "setLight", "arguments": {"room": "kitchen", "level": 40, "fade": 2.5, "on": True}}]],
        2,
    ),
    ("seal_tools_fine_tuning.json", "seal_tools", [[DIM]], 1),
    ("sharegpt.jsonl", "sharegpt", [[DIM], "Dimmed."], 0),
    ("smoltalk2.jsonl", "smoltalk2", [[DIM], "It is dimmed."], 0),
    ("swift.jsonl", "messages", [[DIM, LIST], "Done: kitchen and hall."], 0),
    ("toolace.json", "toolace", [[named("Set Light")], "Dimmed."], 0),
    ("toolalpaca.json", "toolalpaca", [[named("setLight")], "Dimmed.", [named("setLight")]], 1),
    (
        "toolbench.json",
        "toolbench",
        [
            [named("level_for_set_light")],
            [{"name": "Finish", "arguments": {"return_type": "give_answer", "final_answer": "The kitchen is at 40."}}],
        ],
        0,
    ),
    ("toucan.jsonl", "messages", [[DIM], "Dimmed."], 0),
    ("trl.jsonl", "trl", [[DIM], "To which level?", [DIM]], 0),
    ("when2call_pref.jsonl", "when2call", [[DIM], "To which level?"], 0),
    ("when2call_sft.jsonl", "messages", [[DIM], "To which level?", "I cannot control lamps."], 0),
    ("when2call_test.jsonl", "when2call", [[DIM], "Which level?"], 0),
    ("xlam.jsonl", "xlam", [[DIM], [DIM]], 0),
]
TABLE = pytest.mark.parametrize(("file", "source", "right", "num_skipped"), FORMATS, ids=[case[0] for case in FORMATS])


def first_record(file):
    return next(record for record in read_records(str(FOLDER / file)) if not isinstance(record, Unconvertible))


SAMPLES = {source: first_record(file) for file, source, _, _ in FORMATS}


def answers(rows):
    return [reference(row) or row["answer"] for row in rows]


def test_the_table_has_every_sample_and_every_source():
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.json*")}
    assert {case[0] for case in FORMATS} == files - {"seal_tools/tool.jsonl"}
    assert {case[1] for case in FORMATS} == SOURCES.keys()


@TABLE
def test_a_format_is_found_and_converted_by_the_command(tmp_path, capsys, file, source, right, num_skipped):
    main(["convert", str(FOLDER / file), "--output", str(tmp_path / "rows.jsonl")])
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").open()]
    assert answers(rows) == right
    assert {row["source"] for row in rows} == {source}
    out = capsys.readouterr()
    assert out.out.startswith(f"format: {source}: ")
    assert out.err.count("skipped record") == num_skipped
    for row in rows:
        called = {call["name"] for call in reference(row)}
        tools = json.loads(row["tools"])
        assert called <= {tool["function"]["name"] for tool in tools}
        assert all(
            tool["function"]["parameters"].get("properties")
            for tool in tools
            if tool["function"]["name"] in called - {"list_rooms"}
        )
        assert not any(
            "<tool" in str(message["content"]) or "USER:" in str(message["content"]) for message in row["prompt"]
        )


def strings(record):
    """The record with what is nested as JSON text, as CSV files and flat tables have it."""
    return {key: json.dumps(value) if isinstance(value, (list, dict)) else value for key, value in record.items()}


@TABLE
def test_other_files_of_a_format(tmp_path, file, source, right, num_skipped):
    """Other orders of keys, unknown extra fields, JSON text for values, Parquet, CSV."""
    records = [record for record in read_records(str(FOLDER / file)) if not isinstance(record, Unconvertible)]
    shuffled = [{"extra": 1, **dict(reversed(record.items()))} for record in records]
    (tmp_path / "shuffled.jsonl").write_text("".join(json.dumps(record) + "\n" for record in shuffled))
    made = ["shuffled.jsonl"]
    if source != "bfcl" and source != "toolalpaca":  # nobody writes their lists as text
        columns = sorted({key for record in records for key in record})
        texts = [{**dict.fromkeys(columns), **strings(record)} for record in records]
        (tmp_path / "texts.json").write_text(json.dumps(texts))
        Dataset.from_list(texts).to_parquet(tmp_path / "texts.parquet")
        with (tmp_path / "texts.csv").open("w", encoding="utf-8", newline="") as table:
            writer = csv.DictWriter(table, columns)
            writer.writeheader()
            writer.writerows(texts)
        made += ["texts.json", "texts.parquet", "texts.csv"]
    if source == "seal_tools":
        shutil.copy(FOLDER / "seal_tools" / "tool.jsonl", tmp_path)
    for name in made:
        conversion = convert(tmp_path / name, on_skip=lambda skipped: None)
        assert answers(conversion) == right, name
        assert list(conversion.found) == [source], name


def test_several_forms_in_one_file(tmp_path):
    names = ["anthropic.jsonl", "glaive_v2.jsonl", "xlam.jsonl", "swift.jsonl", "toolace.json"]
    records = [first_record(name) for name in names]
    (tmp_path / "mixed.jsonl").write_text("".join(json.dumps(record) + "\n" for record in [*records, {"x": 1}]))
    skipped = []
    conversion = convert(tmp_path / "mixed.jsonl", on_skip=skipped.append)
    rows = list(conversion)
    assert conversion.sources == {"messages": 2, "glaive": 1, "xlam": 1, "toolace": 1}
    assert len(rows) == 2 + 3 + 1 + 2 + 2
    assert [(skip.index, skip.reason) for skip in skipped] == [(5, "is of no known form: it has the fields `x`")]


@pytest.mark.parametrize(
    ("record", "source", "message"),
    [
        ({"utterance": "?", "api_calls": []}, None, r"no known form: it has the fields `utterance`, `api_calls`"),
        (
            {"question": "?", "answer": "!", "tools": "[]"},
            None,
            r"most likely sources are xlam \(reads `query`, `tools`, `answers`\), messages",
        ),
        ({"instruction": "Sum up.", "input": "x", "output": "y"}, None, "most likely sources are api_bank"),
        ({"prompt": "?", "reference": [], "completion": "!", "tools": []}, None, r"several forms \(jsonl: .*; trl: "),
        ({"text": "USER: hi"}, None, "messages_field, tools_field, answers_field"),
        (
            first_record("glaive_v2.jsonl"),
            "xlam",
            r"not of the source 'xlam', which reads `query`.*look like 'glaive'",
        ),
        (first_record("sharegpt.jsonl"), "messages", "look like 'sharegpt': it has `conversations`"),
    ],
)
def test_an_unknown_or_wrong_format_names_the_likely_source(tmp_path, capsys, record, source, message):
    (tmp_path / "records.jsonl").write_text(json.dumps(record))
    with pytest.raises(UnknownFormat, match=message):
        list(convert(tmp_path / "records.jsonl", source))
    words = ["--source", source] if source else []
    with pytest.raises(SystemExit) as stopped:
        main(["convert", str(tmp_path / "records.jsonl"), "--output", str(tmp_path / "rows.jsonl"), *words])
    assert stopped.value.code == 2
    assert "egpo-trl convert: the " in capsys.readouterr().err
    assert not (tmp_path / "rows.jsonl").exists()


ASK = {"role": "user", "content": "?"}
FUNCTION = {"name": "set_light", "parameters": {"type": "object", "properties": {"room": {}, "level": {}}}}
OFFERED = {"tools": [FUNCTION]}


def said(content):
    return {"messages": [ASK, {"role": "assistant", "content": content}], **OFFERED}


# Spellings of one call that data sets are seen to have, each in a record that must give it. A further one is a line.
SPELLINGS = {
    "python in a message of its own": {"messages": [ASK, {"role": "tool_call", "content": repr(DIM)}], **OFFERED},
    "an empty message after a call": {"messages": [ASK, {"role": "tool_call", "content": DIM}, {"role": "assistant", "content": ""}], **OFFERED},
    "python in tool_calls": {"messages": [ASK, {"role": "assistant", "tool_calls": repr([DIM])}], **OFFERED},
    "python in answers": {"query": "?", "answers": repr([DIM]), "tools": repr([FUNCTION])},
    "python arguments": {"query": "?", "answers": [{**DIM, "arguments": repr(DIM["arguments"])}], **OFFERED},
    "python in tags": said(f"<tool_call>[{DIM!r}]</tool_call>"),
    "python as all of a text": said(repr([DIM])),
    "functions in tags": said('<TOOLCALL>[set_light(room="kitchen", level=40)]</TOOLCALL>'),
    "other keys": said(json.dumps([{"api": "set_light", "parameters": DIM["arguments"], "responses": ["API_call_0"]}])),
    "the answer of an MCP server": {**said(json.dumps(DIM)), "tools": {"jsonrpc": "2.0", "id": 1, "result": OFFERED}},
    "a thought as a message of its own": {
        "messages": [ASK, {"role": "assistant", "content": "<think>hm</think>"}, {"role": "tool_call", "content": repr(DIM)}],
        **OFFERED,
    },
    "a thought beside tool_calls": {
        "messages": [ASK, {"role": "assistant", "content": "<think>hm</think>", "tool_calls": [{"function": DIM}]}],
        **OFFERED,
    },
    "a logged request of Responses": {"request": json.dumps({"input": "?", **OFFERED}), "response": {"output": [{"type": "function_call", **DIM}]}},
    "a batch of Responses": {"body": {"input": "?", **OFFERED}, "response": {"body": {"output": [{"type": "function_call", **DIM}]}}},
    "query and response of ms-swift": {"query": "?", "response": json.dumps(DIM), **OFFERED},
    "names in capitals": {
        "Messages": [{"Role": "user", "Content": "?"}, {"Role": "Assistant", "Tool_Calls": [{"function": DIM}]}],
        "Tools": [FUNCTION],
    },
}  # fmt: skip


# Records of which some steps are answers that nobody should learn, and the answers that are left. A further one is a line.
CALLED = {"role": "assistant", "tool_calls": [{"function": DIM}]}
BAD, THEN = {"role": "assistant", "content": "No."}, [{"role": "user", "content": "Do it!"}, CALLED]
UNLEARNED = [
    ({"messages": [ASK, {**BAD, "weight": 0}, *THEN]}, [[DIM]]),
    ({"messages": [ASK, {**BAD, "loss": False}, *THEN]}, [[DIM]]),
    ({"messages": [ASK, {**BAD, "train": False}, *THEN]}, [[DIM]]),
    ({"messages": [ASK, {**BAD, "weight": 1}, *THEN]}, ["No.", [DIM]]),
    ({"messages": [ASK, {**BAD, "loss": None}, *THEN]}, ["No.", [DIM]]),
    ({"conversations": [ASK, {"from": "function_call", "value": json.dumps(DIM), "weight": 0}]}, []),
    ({"messages": [ASK, BAD], "label": False}, []),
    ({"messages": [ASK, CALLED], "label": True}, [[DIM]]),
    ({"messages": [ASK, CALLED], "label": 0}, [[DIM]]),  # of some classification
    ({"conversations": [ASK, BAD], "kto_tag": "false"}, []),
    ({"prompt": "?", "completion": "No.", "label": False}, []),
    ({"messages": [ASK, CALLED], "rejected_response": "No."}, [[DIM]]),
    ({"conversations": [ASK], "chosen": {"from": "function_call", "value": json.dumps(DIM)}, "rejected": {"from": "gpt", "value": "No."}}, [[DIM]]),
    ({"messages": [ASK], "chosen": CALLED, "rejected": BAD}, [[DIM]]),
]  # fmt: skip


@pytest.mark.parametrize(("record", "right"), UNLEARNED)
def test_bad_answers_are_not_learned(tmp_path, record, right):
    (tmp_path / "records.jsonl").write_text(json.dumps({**record, **OFFERED}))
    conversion = convert(tmp_path / "records.jsonl", on_skip=lambda skipped: None)
    assert answers(list(conversion)) == right
    assert conversion.skipped.total() == (not right)


HOSTED = [
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
    {"type": "web_search"},
    {"type": "bash_20250124", "name": "bash"},
    {"type": "mcp", "server_label": "house", "server_url": "https://house.example"},
]


@pytest.mark.parametrize("hosted", HOSTED, ids=lambda tool: tool["type"])
def test_tools_that_run_at_the_provider_are_not_offered(tmp_path, hosted):
    function = {"type": "custom", "name": "set_light", "input_schema": FUNCTION["parameters"]}
    (tmp_path / "records.jsonl").write_text(json.dumps({"messages": [ASK, CALLED], "tools": [hosted, function]}))
    (row,) = convert(tmp_path / "records.jsonl")
    assert list(parameters(row)) == ["set_light"]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ending", [".json", ".json.gz"])
def test_objects_of_several_lines(tmp_path, indent, ending):
    text = "\n".join(json.dumps({"messages": [ASK, CALLED], **OFFERED}, indent=indent) for _ in range(3)).encode()
    (tmp_path / f"records{ending}").write_bytes(gzip.compress(text) if ending.endswith(".gz") else text)
    assert len(list(convert(tmp_path / f"records{ending}"))) == 3


BROKEN = {
    "a.parquet": b"PAR1 no",
    "a.csv": b"",
    "a.json": b"\x00\xff",
    "b.json": b"null",
    "a.jsonl": b"{",
    "b.jsonl": b"{\n",
}


@pytest.mark.parametrize("file", BROKEN)
def test_a_file_that_cannot_be_read(tmp_path, capsys, file):
    (tmp_path / file).write_bytes(BROKEN[file])
    with pytest.raises(SystemExit) as stopped:
        main(["convert", "--dataset_name", str(tmp_path / file), "--output", str(tmp_path / "rows.jsonl")])
    assert stopped.value.code == 2
    assert "none can be read" in capsys.readouterr().err


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("ending", [".jsonl", ".json.gz"])
def test_spellings_of_a_call(tmp_path, spelling, ending):
    file = tmp_path / f"records{ending}"
    text = json.dumps(SPELLINGS[spelling])
    file.write_bytes(gzip.compress(f"[{text}]".encode()) if ending.endswith(".gz") else text.encode())
    (row,) = convert(file)
    assert reference(row) == [DIM]


@pytest.mark.parametrize(
    "packed", [gzip.compress(b'{"a": 1}\n' * 999)[:-20], b"\x1f\x8b not gzip"], ids=["cut off", "not gzip"]
)
def test_a_file_that_cannot_be_unpacked(tmp_path, packed):
    (tmp_path / "records.jsonl.gz").write_bytes(packed)
    with pytest.raises(
        UnknownFormat, match=r"no known form|none can be read: the rest of the file cannot be unpacked"
    ):
        list(convert(tmp_path / "records.jsonl.gz"))


def test_no_row_is_an_error(tmp_path, capsys):
    record = {**first_record("xlam.jsonl"), "tools": "[]"}
    (tmp_path / "records.jsonl").write_text("".join(json.dumps({**record, "id": n}) + "\n" for n in range(4)))
    with pytest.raises(SystemExit) as stopped:
        main(["convert", str(tmp_path / "records.jsonl"), "--output", str(tmp_path / "rows.jsonl")])
    assert stopped.value.code == 2
    told = "no row from 4 records; skipped: 4 times field 'reference': calls 'set_light', and"
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "records.jsonl"]
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(SystemExit) as stopped:
        main(["convert", str(tmp_path / "empty.jsonl"), "--output", str(tmp_path / "rows.jsonl")])
    assert stopped.value.code == 2
    assert "the file is without records." in capsys.readouterr().err


TOOL = {
    "name": "set_light",
    "parameters": {"type": "object", "properties": {"room": {"type": "string"}, "level": {"type": "integer"}}},
}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"question": "?", "functions_json": json.dumps([TOOL]), "gold": json.dumps([DIM])},
         ["--messages_field", "question", "--tools_field", "functions_json", "--answers_field", "gold"]),
        ({"turns": [{"role": "user", "content": "?"}], "meta": json.dumps({"tools": [TOOL]}), "gold": [DIM]},
         ["--messages_field", "turns", "--tools_field", "meta.tools", "--answers_field", "gold"]),
        ({"log": {"dialog": [{"from": "human", "value": "?"}, {"from": "function_call", "value": json.dumps(DIM)}]}, "apis": [TOOL]},
         ["--messages_field", "log.dialog", "--tools_field", "apis"]),
        ({"ask": "?", "tools": [TOOL], "answers": "[set_light(room='kitchen', level=40)]"},
         ["--source", "xlam", "--messages_field", "ask"]),
        ({"q": "?", "tools": [TOOL], "label": [{"role": "assistant", "tool_calls": [{"function": DIM}]}]},
         ["--messages_field", "q", "--answers_field", "label"]),
        ({"Prompt": "?", "Tools": [TOOL], "Label": [DIM]},
         ["--messages_field", "Prompt", "--tools_field", "Tools", "--answers_field", "Label"]),
    ],
)  # fmt: skip
def test_fields_by_option(tmp_path, record, words):
    (tmp_path / "records.jsonl").write_text(json.dumps(record))
    main(["convert", str(tmp_path / "records.jsonl"), "--output", str(tmp_path / "rows.jsonl"), *words])
    (row,) = map(json.loads, (tmp_path / "rows.jsonl").open())
    assert reference(row) == [DIM]
    assert [message["role"] for message in row["prompt"]] == ["user"]


@pytest.mark.parametrize("source", [[], ["--source", "glaive"]], ids=["found", "named"])
def test_a_field_by_option_that_no_record_has(tmp_path, capsys, source):
    words = ["--messages_field", "nope", *source]
    with pytest.raises(SystemExit) as stopped:
        main(["convert", str(FOLDER / "glaive_v2.jsonl"), "--output", str(tmp_path / "rows.jsonl"), *words])
    assert stopped.value.code == 2
    assert "no record has the field 'nope'." in capsys.readouterr().err


def test_functions_from_a_file(tmp_path):
    record = first_record("chat_completions.jsonl")
    (tmp_path / "records.jsonl").write_text(json.dumps({"messages": record["messages"]}))
    (tmp_path / "tools.json").write_text(json.dumps([TOOL]))
    assert answers(convert(tmp_path / "records.jsonl", tools=tmp_path / "tools.json")) == [[DIM], "Dimmed."]
    with pytest.raises(ValueError, match=r"tools: .* cannot be read"):
        convert(tmp_path / "records.jsonl", tools=tmp_path / "none.json")


# Texts that hold a call of a function, whether it is offered or the record offers none at all.
CALLS = [
    json.dumps(DIM),
    json.dumps([DIM]),
    f"Sure: {json.dumps(DIM)}",
    f"```json\n{json.dumps(DIM)}\n```",
    f"<tool_call>{json.dumps(DIM)}</tool_call>",
    f"<TOOLCALL>[{json.dumps(DIM)}]</TOOLCALL>",
    f"<functioncall> {json.dumps(DIM)}",
    f"[TOOL_CALLS] [{json.dumps(DIM)}]",
    f"<|python_tag|>{json.dumps(DIM)}",
    f"Action: set_light\nAction Input: {json.dumps(DIM['arguments'])}",
    '<function=set_light>{"room": "kitchen"}</function>',
    '<invoke name="set_light">',
    repr([{"api": "set_light", "parameters": DIM["arguments"], "responses": ["API_call_0"]}]),
    f"I use {json.dumps({'tool': 'set_light', 'args': DIM['arguments']})} here",
    json.dumps(json.dumps(DIM)),
    "[Set Light(kitchen)]",
    '✿FUNCTION✿: set_light\n✿ARGS✿: {"room": "kitchen"}',
]
# Texts that hold a call of a function only if it is offered.
CALLS_OF_OFFERED = [
    "I'll call set_light(room='kitchen') now.",
    '```python\nset_light(room="kitchen", level=40)\n```',
    'set_light: {"room": "kitchen"}',
    'set_light {"room": "kitchen"}',
    'set_light({"room": "kitchen"})',
    '[{"set_light": {"room": "kitchen"}}]',
    '{"tool": "set_light", "room": "kitchen"}',
    'Function: set_light\n{"room": "kitchen"}',
    "**Tool name**: set_light\nroom: kitchen",
    "name: set_light\narguments:\n  room: kitchen",
    'Calling function set_light with arguments {"room": "kitchen"}',
]


@pytest.mark.parametrize(
    ("said", "tools"),
    [
        *((said, tools) for said in CALLS for tools in ([TOOL], [], None, [{"name": "other"}])),
        *((said, [TOOL]) for said in CALLS_OF_OFFERED),
    ],
)
def test_a_call_never_becomes_a_text(tmp_path, said, tools):
    ask = {"role": "user", "content": "?"}
    shapes = [
        {"messages": [ask, {"role": "assistant", "content": said}]},
        {"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": said}]},
        {"prompt": [ask], "completion": said},
        {"prompt": "?", "reference": [], "answer": said},
        {"query": "?", "answers": said},
        {"input": "?", "output": [{"type": "message", "content": [{"type": "output_text", "text": said}]}]},
        {"messages": [ask], "chosen_response": {"role": "assistant", "content": said}},
        {
            "system": "SYSTEM: " + "".join(map(json.dumps, tools or [])),
            "chat": f"USER: ?\n\n\nASSISTANT: {said} <|endoftext|>",
        },
    ]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps({**shape, "tools": tools}) + "\n" for shape in shapes))
    skipped = []
    rows = list(convert(tmp_path / "records.jsonl", on_skip=skipped.append))
    assert len(rows) + len(skipped) == len(shapes)
    assert all(reference(row) == [DIM] for row in rows)
    assert not rows or tools == [TOOL]


NEW_SOURCE = '''"""Rows of two fields."""

from egpo_trl.data.sources.conversation import Conversation, tools_of
from egpo_trl.tool_calls.calls import ToolCall

FIELDS = ("wish", "deed")


def recognise(record):
    """Why a record is in this form, `None` if it is not."""
    return "it has `wish` and `deed`" if {"wish", "deed"} <= record.keys() else None


def convert_record(record):
    """Rows of a record."""
    conversation = Conversation(tools_of(record), "wish")
    conversation.add_text("user", record["wish"])
    conversation.add_calls([ToolCall(record["deed"], {})])
    return conversation.rows()
'''


def test_adding_a_source_is_adding_one_file(tmp_path, monkeypatch):
    import egpo_trl.data.sources as package

    (tmp_path / "wishes.py").write_text(NEW_SOURCE)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    found = discover(package.__path__)
    assert found.keys() - SOURCES.keys() == {"wishes"}
    monkeypatch.setitem(SOURCES, "wishes", found["wishes"])
    record = {"wish": "Rooms?", "deed": "list_rooms", "tools": [{"name": "list_rooms"}]}
    assert recognise(record) == ("wishes", "it has `wish` and `deed`")
    (tmp_path / "records.jsonl").write_text(json.dumps(record))
    main(["convert", str(tmp_path / "records.jsonl"), "--output", str(tmp_path / "rows.jsonl")])
    (row,) = map(json.loads, (tmp_path / "rows.jsonl").open())
    assert (row["source"], reference(row)) == ("wishes", [LIST])


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_says_what_it_is(name):
    module = SOURCES[name]
    assert module.__doc__
    assert module.FIELDS
    assert module.recognise({}) is None
    docs = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in docs, "docs/data.md has no line for it"
