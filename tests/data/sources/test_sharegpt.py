"""ShareGPT conversations and APIGen-MT, which are written in it."""

import json

import pytest

from tests.data.sources.converting import convert_records, parameters, reference, without

TOOLS = [
    {
        "name": "get_user_details",
        "description": "Details of a user.",
        "parameters": {"type": "object", "properties": {"user_id": {"type": "string"}}, "required": ["user_id"]},
    },
    {"name": "think", "description": "Think.", "parameters": {"type": "object", "properties": {"thought": {"type": "string"}}}},
]  # fmt: skip
APIGEN_MT = {
    "system": "# Retail agent policy\n- Authenticate the user first.",
    "tools": json.dumps(TOOLS),
    "conversations": [
        {"from": "human", "value": "I am Ava Lee, ava_1. Where is my order?"},
        {"from": "function_call", "value": '{"name": "get_user_details", "arguments": {"user_id": "ava_1"}}'},
        {"from": "observation", "value": '{"orders": ["#W1"]}'},
        {"from": "gpt", "value": "Order #W1 is on its way."},
        {"from": "human", "value": "Thanks!"},
        {"from": "gpt", "value": "You are welcome."},
    ],
}
PARALLEL = {
    "tools": TOOLS,
    "conversations": [
        {"from": "user", "value": "Look up a and b."},
        {"from": "tool_call", "value": json.dumps([{"name": "get_user_details", "arguments": json.dumps({"user_id": u})} for u in "ab"])},
        {"from": "tool_response", "value": "A"},
        {"from": "function_response", "value": {"name": "B"}},
        {"from": "function_call", "value": {"name": "think", "arguments": {"thought": "done"}}},
        {"from": "tool", "value": ""},
        {"from": "assistant", "value": '<tool_call>{"name": "think", "arguments": {}}</tool_call>'},
    ],
}  # fmt: skip


@pytest.mark.parametrize("source", ["apigen_mt", "sharegpt"])
def test_apigen_mt(tmp_path, source):
    rows, skipped = convert_records(tmp_path, source, [APIGEN_MT])
    assert skipped == []
    assert [len(row["prompt"]) for row in rows] == [2, 4, 6]
    assert [len(reference(row)) for row in rows] == [1, 0, 0]
    assert reference(rows[0]) == [{"name": "get_user_details", "arguments": {"user_id": "ava_1"}}]
    assert all(row["prompt"][0] == {"role": "system", "content": APIGEN_MT["system"]} for row in rows)
    assert [row["answer"] for row in rows] == [None, "Order #W1 is on its way.", "You are welcome."]
    assert rows[1]["prompt"][3]["tool_call_id"] == rows[1]["prompt"][2]["tool_calls"][0]["id"] == "call_0"
    assert parameters(rows[0])["get_user_details"] == TOOLS[0]["parameters"]


def test_every_place_of_calls(tmp_path):
    rows, skipped = convert_records(tmp_path, "sharegpt", [PARALLEL])
    assert skipped == []
    assert [[call["arguments"] for call in reference(row)] for row in rows] == [
        [{"user_id": "a"}, {"user_id": "b"}],
        [{"thought": "done"}],
        [{}],
    ]
    results = [(m["content"], m["tool_call_id"]) for m in rows[-1]["prompt"] if m["role"] == "tool"]
    assert results == [("A", "call_0"), ('{"name": "B"}', "call_1"), ("", "call_2")]


def conversation(*turns):
    return {"tools": TOOLS, "conversations": [{"from": sender, "value": value} for sender, value in turns]}


DETAILS = '{"name": "get_user_details", "arguments": {"user_id": "a"}}'
THINK = '{"name": "think", "arguments": {"thought": "t"}}'


def test_what_the_assistant_says_in_a_row_is_one_step(tmp_path):
    """Two call turns are parallel calls, and a text between them stands beside them: no call lacks its result."""
    record = conversation(
        ("human", "Look up a."), ("gpt", "Let me look."), ("function_call", DETAILS), ("function_call", THINK),
        ("observation", "A"), ("observation", "T"), ("gpt", "It is A."), ("gpt", "Anything else?"),
    )  # fmt: skip
    (call, text), skipped = convert_records(tmp_path, "sharegpt", [record])
    assert skipped == []
    assert [c["name"] for c in reference(call)] == ["get_user_details", "think"]
    assert [m["role"] for m in call["prompt"]] == ["user"]
    assert text["answer"] == "It is A.\nAnything else?"
    assert [m["role"] for m in text["prompt"]] == ["user", "assistant", "tool", "tool"]
    step, *results = text["prompt"][1:]
    assert step["content"] == "Let me look."
    assert [c["id"] for c in step["tool_calls"]] == [m["tool_call_id"] for m in results] == ["call_0", "call_1"]


@pytest.mark.parametrize(
    "value",
    [
        "[get_user_details(user_id='a')]",
        """<functioncall> {"name": "get_user_details", "arguments": '{"user_id": "a"}'} <|endoftext|>""",
        DETAILS,
        f"Looking.\n<tool_call>{DETAILS}</tool_call>",
    ],
)
def test_calls_in_a_text_turn_are_read(tmp_path, value):
    rows, skipped = convert_records(
        tmp_path, "sharegpt", [conversation(("human", "a?"), ("gpt", value), ("tool", "A"), ("gpt", "A."))]
    )
    assert skipped == []
    assert [reference(row) for row in rows] == [[{"name": "get_user_details", "arguments": {"user_id": "a"}}], []]
    assert rows[1]["prompt"][2]["tool_call_id"] == "call_0"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (f"{DETAILS}</tool_call>", "a tag is missing"),
        ("[launch(a=1)]", "not among the functions"),
        ("I call get_user_details(user_id='a') now.", "cannot be read"),
        ("[get_user_details(user_id=x.y)]", "cannot be read"),
    ],
)
def test_what_looks_like_a_call_is_never_a_text(tmp_path, value, reason):
    rows, (skipped,) = convert_records(tmp_path, "sharegpt", [conversation(("human", "a?"), ("gpt", value))])
    assert rows == []
    assert reason in skipped.reason


def calls(value):
    return {**APIGEN_MT, "conversations": [APIGEN_MT["conversations"][0], {"from": "function_call", "value": value}]}


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        (without(APIGEN_MT, "system"), "system", "must be a string"),
        ({**APIGEN_MT, "tools": TOOLS}, "tools", "must be a string"),
        ({**APIGEN_MT, "conversations": "[]"}, "conversations", "must be a non-empty list"),
        ({**APIGEN_MT, "conversations": {"from": "human"}}, "conversations", "must be a non-empty list"),
        (calls("{'name': 'think'"), "conversations", "is not a call"),
        (calls("[]"), "conversations", "is without calls"),
        (calls("<b>none</b>"), "conversations", "is without calls"),
        (calls("3"), "conversations", "is not a call: a call must be an object"),
        (calls('{"name": "think", "arguments": [1]}'), "conversations", "'arguments' must be an object"),
        (calls('{"name": "think", "arguments": "{"}'), "conversations", "is not a call"),
        (calls('{"name": 3, "arguments": {}}'), "conversations", "'name' must be a non-empty string"),
        (calls(None), "conversations", "is not a call"),
    ],
)
def test_malformed_records(tmp_path, record, field, reason):
    rows, (skipped,) = convert_records(tmp_path, "apigen_mt", [APIGEN_MT, record, APIGEN_MT])
    assert len(rows) == 6
    assert (skipped.index, skipped.field) == (1, field)
    assert reason in skipped.reason
