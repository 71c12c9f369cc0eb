"""Messages of the chat-completions API."""

import json

import pytest

from egpo_trl.data.sources import recognise
from egpo_trl.data.sources.conversation import Conversation
from egpo_trl.tool_calls.calls import ToolCall
from tests.data.sources.converting import convert_records, parameters, reference

TOOLS = [
    {"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {
        "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]}}}
]  # fmt: skip


def call(call_id, **arguments):
    return {"id": call_id, "type": "function", "function": {"name": "add", "arguments": json.dumps(arguments)}}


MESSAGES = [
    {"role": "system", "content": "Be exact."},
    {"role": "user", "content": [{"type": "text", "text": "1+2"}, {"type": "text", "text": "and 3+4?"}]},
    {"role": "assistant", "content": None, "tool_calls": [call("x", a=1, b=2), call("y", a=3, b=4)]},
    {"role": "tool", "tool_call_id": "y", "content": "7"},
    {"role": "tool", "tool_call_id": "x", "content": "3"},
    {"role": "assistant", "content": "3 and 7."},
    {"role": "user", "content": "5+6?"},
    {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": '{"a": 5, "b": 6}'}},
    {"role": "function", "name": "add", "content": "11"},
    {"role": "assistant", "content": "11"},
]
RECORD = {"messages": MESSAGES, "tools": TOOLS}


@pytest.mark.parametrize("dump", [lambda value: value, json.dumps])
def test_lists_and_json_strings(tmp_path, dump):
    rows, skipped = convert_records(tmp_path, "messages", [{key: dump(value) for key, value in RECORD.items()}])
    assert skipped == []
    assert [[c["arguments"] for c in reference(row)] for row in rows] == [
        [{"a": 1, "b": 2}, {"a": 3, "b": 4}],
        [],
        [{"a": 5, "b": 6}],
        [],
    ]
    assert [row["answer"] for row in rows] == [None, "3 and 7.", None, "11"]
    last = rows[-1]["prompt"]
    assert last[1]["content"] == "1+2\nand 3+4?"
    assert [(m["content"], m["tool_call_id"]) for m in last if m["role"] == "tool"] == [
        ("7", "y"),
        ("3", "x"),
        ("11", "call_2"),
    ]
    assert parameters(rows[0]) == {"add": TOOLS[0]["function"]["parameters"]}


def test_prompts_of_a_data_set_are_not_padded(tmp_path):
    """Arrow gives all messages the same fields: what it fills in must not become arguments or schemas."""
    from datasets import Dataset

    other = {**RECORD, "tools": [{"type": "function", "function": {"name": "g", "parameters": {
        "type": "object", "properties": {"c": {"type": "string", "description": "C"}}, "required": []}}}]}  # fmt: skip
    first = {**RECORD, "messages": [{"role": "user", "content": "1+2 and 3+4?"}, *MESSAGES[2:]]}
    Dataset.from_list([first, other | {"messages": first["messages"]}]).to_parquet(tmp_path / "records.parquet")
    from egpo_trl.data.sources import convert

    rows = list(convert(str(tmp_path / "records.parquet"), "messages"))
    plain, _ = convert_records(tmp_path, "messages", [first, other | {"messages": first["messages"]}])
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in plain]
    assert [parameters(row) for row in rows] == [parameters(row) for row in plain]


def test_without_functions_and_without_system(tmp_path):
    rows, _ = convert_records(tmp_path, "messages", [{"messages": MESSAGES[:2] + MESSAGES[5:6]}], keep_system=False)
    assert [(row["tools"], row["reference"], len(row["prompt"])) for row in rows] == [("[]", "[]", 1)]


def test_the_older_form_of_the_api(tmp_path):
    message = {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    record = {"messages": [MESSAGES[1], message], "functions": [tool["function"] for tool in TOOLS]}
    (row,), _ = convert_records(tmp_path, "messages", [record])
    (wanted,), _ = convert_records(tmp_path, "messages", [{"messages": [MESSAGES[1], message], "tools": TOOLS}])
    assert row["tools"] == wanted["tools"]
    assert reference(row) == [{"name": "add", "arguments": {"a": 1, "b": 2}}]


def test_calls_in_the_content_are_read(tmp_path):
    written = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>'
    for message in (
        {"content": written},
        {"content": written, "tool_calls": []},
        {"content": f"Adding.\n{written}", "tool_calls": [call("x", a=1, b=2)]},
        {"content": [{"type": "text", "text": "[add(a=1, b=2)]"}]},
    ):
        (row,), skipped = convert_records(tmp_path, "messages", [assistant(**message)])
        assert skipped == []
        assert reference(row) == [{"name": "add", "arguments": {"a": 1, "b": 2}}]


def test_results_in_tags_are_results_of_their_own(tmp_path):
    calls = [{"name": "add", "arguments": {"a": 1, "b": n}} for n in (2, 3)]
    content = "".join(f"<tool_call>{json.dumps(c)}</tool_call>" for c in calls)
    results = "<tool_response>3</tool_response>\n<tool_response>\n4\n</tool_response>"
    messages = [
        MESSAGES[1],
        {"role": "assistant", "content": content},
        {"role": "tool", "content": results},
        {"role": "assistant", "content": "3, 4"},
    ]
    (_, text), _ = convert_records(tmp_path, "messages", [{"messages": messages, "tools": TOOLS}])
    assert [(m["content"], m["tool_call_id"]) for m in text["prompt"][2:]] == [("3", "call_0"), ("4", "call_1")]


def assistant(**message):
    return {"tools": TOOLS, "messages": [*MESSAGES[:2], {"role": "assistant", **message}]}


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        ({}, "messages", "is missing"),
        ([], "record", "a record must be an object, got list"),
        ({"messages": "[x", "tools": []}, "messages", "is not JSON"),
        ({"messages": [3], "tools": []}, "messages", "message 0 must have a role"),
        ({"messages": [{"role": ["user"]}]}, "messages", "message 0 has the unknown role"),
        ({"messages": MESSAGES[:2], "tools": TOOLS}, "messages", "lacks an assistant message after a user message"),
        ({"messages": MESSAGES, "tools": TOOLS * 2 + [{"name": "add"}]}, "tools", "has two different schemas"),
        (assistant(content=None), "messages", "message 2 lacks content"),
        (assistant(content="<think>hm</think>"), "messages", "message 2 holds nothing after its think block"),
        ({"query": "?", "response": "!", "history": ["?"]}, "history", "must be a list of pairs"),
        (assistant(content=[{"type": "image_url"}]), "messages", "message 2 has a block of type 'image_url'"),
        (assistant(content="add(a=1, b=2) is 3"), "messages", "message 2 holds a call, or a piece of one"),
        (assistant(content="[add(a=1)]", tool_calls=[call("x", a=2)]), "messages", "holds other calls in its text"),
        (assistant(content="\ud800"), "answer", "holds a lone surrogate"),
        (assistant(tool_calls="x"), "messages", "'tool_calls' must be a list"),
        (assistant(tool_calls=[3]), "messages", "message 2: a call must be an object"),
        (assistant(tool_calls=[{"function": {"name": "", "arguments": "{}"}}]), "messages", "'name' must be"),
        (assistant(tool_calls=[{"function": {"name": "add", "arguments": "{'a'"}}]), "messages", "message 2: "),
        (assistant(tool_calls=[{"function": {"name": "add", "arguments": {"a": float("inf")}}}]), "record", "JSON"),
    ],
)
def test_malformed_records(tmp_path, record, field, reason):
    rows, (skipped,) = convert_records(tmp_path, "messages", [RECORD, record, RECORD])
    assert len(rows) == 8
    assert (skipped.index, skipped.field) == (1, field)
    assert reason in skipped.reason


BEGUN = {"tools": TOOLS, "messages": MESSAGES[:7]}
LAST = {"role": "assistant", "tool_calls": [call("z", a=5, b=6)]}
CHOICES = {"choices": [{"index": 0, "message": LAST}]}
USED = {"role": "assistant", "content": [{"type": "tool_use", "id": "z", "name": "add", "input": {"a": 5, "b": 6}}]}


def in_text(value):
    """A record whose requests, bodies and answers are JSON text."""
    if not isinstance(value, dict):
        return value
    logged = ("request", "body", "response", "choices")
    inner = {key: in_text(item) for key, item in value.items()}
    return {key: json.dumps(i) if key in logged and not isinstance(i, str) else i for key, i in inner.items()}


@pytest.mark.parametrize("written", [lambda record: record, in_text], ids=["values", "text"])
@pytest.mark.parametrize(
    "record",
    [
        {**BEGUN, **CHOICES},
        {**BEGUN, "response": CHOICES},
        {**BEGUN, "response": USED},
        {**BEGUN, "response": json.dumps(USED)},
        {**BEGUN, "response": '{"name": "add", "arguments": {"a": 5, "b": 6}}'},
        {**BEGUN, **USED},
        {"request": BEGUN, "response": CHOICES},
        {"custom_id": "1", "body": BEGUN, "response": {"status_code": 200, "body": CHOICES}},
        {"request": {"method": "POST", "body": BEGUN}, "response": {"body": USED}},
    ],
)
def test_what_the_api_answered_is_the_last_step(tmp_path, record, written):
    rows, skipped = convert_records(tmp_path, "messages", [written(record)])
    assert recognise(written(record))[0] == "messages"
    assert skipped == []
    assert len(rows) == 3
    assert reference(rows[-1]) == [{"name": "add", "arguments": {"a": 5, "b": 6}}]


def test_history_of_ms_swift(tmp_path):
    record = {"system": "Be exact.", "history": [["1+2?", "3"]], "query": "3+4?", "response": "7", "tools": TOOLS}
    rows, _ = convert_records(tmp_path, "messages", [record])
    assert [row["answer"] for row in rows] == ["3", "7"]
    assert [message["content"] for message in rows[1]["prompt"]] == ["Be exact.", "1+2?", "3", "3+4?"]


@pytest.mark.parametrize("answer", [{"response": {"error": "overloaded"}}, {"choices": [{"delta": LAST}]}])
def test_an_answer_without_a_message(tmp_path, answer):
    rows, (skipped,) = convert_records(tmp_path, "messages", [{**BEGUN, **answer}])
    assert rows == []
    assert skipped.reason == "must be a message, or an answer of the API that holds one"


def test_ids_are_kept_where_they_tell_calls_apart():
    """Mistral's nine characters, Kimi's `functions.f:0` and OpenAI's `call_…` are; missing and repeated ones are made anew."""
    conversation = Conversation([])
    f = ToolCall("f", {})
    conversation.add_text("user", "Pick.")
    conversation.add_calls([f, f, f], "", ["Ab3dEf7h9", None, "Ab3dEf7h9"])
    conversation.add_result("r", "f", "Ab3dEf7h9")
    conversation.add_text("user", "Again.")
    conversation.add_calls([f, f, f, f], "", ["functions.f:0", "call_1", 7, " "])
    ids = [call["id"] for message in conversation.messages for call in message.get("tool_calls", ())]
    assert len(set(ids)) == 7
    assert (ids[0], ids[3]) == ("Ab3dEf7h9", "functions.f:0")
    assert all(one.startswith("call_") for one in ids[1:3] + ids[4:])
    assert conversation.messages[2]["tool_call_id"] == "Ab3dEf7h9"


def test_ids_do_not_tell_prompts_apart(tmp_path):
    """The same conversation with ids drawn anew is a duplicate, and on the same side of a split."""
    from egpo_trl.data.duplicates import row_digest

    other = json.loads(json.dumps(MESSAGES).replace('"x"', '"Ab3dEf7h9"').replace('"y"', '"Ab3dEf7h0"'))
    rows, _ = convert_records(tmp_path, "messages", [RECORD, {**RECORD, "messages": other}])
    half = len(rows) // 2
    assert rows[half - 1]["prompt"] != rows[-1]["prompt"]
    assert [row_digest(row) for row in rows[:half]] == [row_digest(row) for row in rows[half:]]
