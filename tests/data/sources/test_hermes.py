"""Hermes function-calling-v1: calls as JSON or Python literals, results in tags, functions in the column or the system."""

import json

import pytest

from tests.data.sources.converting import convert_records, parameters, reference, without

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_camera_live_feed",
            "description": "Live feed.",
            "parameters": {
                "type": "object",
                "properties": {"camera_id": {"type": "string"}, "stream_quality": {"type": "string"}},
                "required": ["camera_id"],
            },
        },
    },
    {"type": "function", "function": {"name": "list_all_cameras", "parameters": {"type": "object", "properties": {}}}},
]
SYSTEM = f"You are a function calling AI model. Here are the available tools: <tools>\n{json.dumps(TOOLS)}\n</tools>"
CALL = '<tool_call>\n{"name": "get_camera_live_feed", "arguments": {"camera_id": "front"}}\n</tool_call>'
LITERAL = (
    "<tool_call>\n{'arguments': {'camera_id': 'it\\'s', 'on': True}, 'name': 'get_camera_live_feed'}\n</tool_call>"
)
EMPTY = '<tool_call>\n{"arguments": {}, "name": "list_all_cameras"}\n</tool_call>'
RECORD = {
    "id": "85f1d098",
    "conversations": [
        {"from": "system", "value": SYSTEM},
        {"from": "human", "value": "Show the front camera."},
        {"from": "gpt", "value": f"{CALL}\n{EMPTY}\n"},
        {
            "from": "tool",
            "value": '<tool_response>\n{"feed": 1}\n</tool_response>\n<tool_response>\n[]\n</tool_response>',
        },
        {"from": "gpt", "value": "The feed is on."},
    ],
    "tools": json.dumps(TOOLS),
    "category": "IoT",
    "task": "Camera",
}


def answer(value):
    return {**RECORD, "conversations": [*RECORD["conversations"][:2], {"from": "gpt", "value": value}]}


def test_published_form(tmp_path):
    (call, text), skipped = convert_records(tmp_path, "hermes", [RECORD])
    assert skipped == []
    assert [call["id"], text["id"]] == ["85f1d098-0", "85f1d098-1"]
    assert call["prompt"] == [{"role": "user", "content": "Show the front camera."}]
    assert reference(call) == [
        {"name": "get_camera_live_feed", "arguments": {"camera_id": "front"}},
        {"name": "list_all_cameras", "arguments": {}},
    ]
    assert reference(text) == []
    assert (call["answer"], text["answer"]) == (None, "The feed is on.")
    assert [(m["role"], m.get("tool_call_id"), m["content"]) for m in text["prompt"][2:]] == [
        ("tool", "call_0", '{"feed": 1}'),
        ("tool", "call_1", "[]"),
    ]
    assert parameters(call)["get_camera_live_feed"]["required"] == ["camera_id"]


@pytest.mark.parametrize("quote", [json.dumps, repr])
def test_results_belong_to_the_call_that_they_name(tmp_path, quote):
    results = [{"name": "list_all_cameras", "content": ["front"]}, {"name": "get_camera_live_feed", "content": 1}]
    value = "\n".join(f"<tool_response>\n{quote(result)}\n</tool_response>" for result in results)
    turns = [*RECORD["conversations"][:3], {"from": "tool", "value": value}, RECORD["conversations"][4]]
    (_, text), _ = convert_records(tmp_path, "hermes", [{**RECORD, "conversations": turns}])
    assert [(m["tool_call_id"], m["name"], m["content"]) for m in text["prompt"][2:]] == [
        ("call_1", "list_all_cameras", quote(results[0])),
        ("call_0", "get_camera_live_feed", quote(results[1])),
    ]
    named = json.dumps({"name": "Ava"})  # data, not the name of a function
    turns[3] = {"from": "tool", "value": f"<tool_response>{named}</tool_response><tool_response>2</tool_response>"}
    (_, text), _ = convert_records(tmp_path, "hermes", [{**RECORD, "conversations": turns}])
    assert [m["tool_call_id"] for m in text["prompt"][2:]] == ["call_0", "call_1"]


def test_literals_and_text_beside_calls(tmp_path):
    rows, skipped = convert_records(tmp_path, "hermes", [answer(LITERAL), answer(f"Let me look.\n{CALL}")])
    assert skipped == []
    assert reference(rows[0]) == [{"name": "get_camera_live_feed", "arguments": {"camera_id": "it's", "on": True}}]
    assert reference(rows[1])[0]["arguments"] == {"camera_id": "front"}


def test_the_system_message_is_kept_on_demand_and_may_hold_the_functions(tmp_path):
    (row, _), _ = convert_records(tmp_path, "hermes", [RECORD], keep_system=True)
    assert row["prompt"][0] == {"role": "system", "content": SYSTEM}
    (other, _), _ = convert_records(tmp_path, "hermes", [without(RECORD, "tools")])
    assert other["tools"] == row["tools"]
    lines = "\n".join(json.dumps(tool) for tool in TOOLS)  # one function a line, as in later subsets
    turns = [{"from": "system", "value": f"<tools></tools> are these: <tools> {lines} </tools>"}]
    record = {**without(RECORD, "tools"), "conversations": turns + RECORD["conversations"][1:]}
    assert convert_records(tmp_path, "hermes", [record])[0][0]["tools"] == row["tools"]


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        ({**without(RECORD, "tools"), "conversations": RECORD["conversations"][1:]}, "reference", "the record offers no function"),
        ({**without(RECORD, "tools"), "conversations": [{"from": "system", "value": "<tools>x</tools>"}]},
         "conversations", "the functions in the system message cannot be read"),
        ({**RECORD, "tools": "{"}, "tools", "is not JSON"),
        (answer("<tool_call>\n{'name': 'f'}\n</tool_call>"), "conversations", "message 2 holds a call that cannot be read"),
        (answer("<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n"), "conversations", "a tag is missing"),
        (answer(f"{CALL}<tool_call>"), "conversations", "a tag is missing"),
        (answer("<tool_call>\n{'name': 'f', 'arguments': __import__('os')}\n</tool_call>"), "conversations", "cannot be read"),
        (answer("<tool_call>{'a': " + "[" * 5000 + "</tool_call>"), "conversations", "cannot be read"),
        (answer(CALL * 200), "conversations", "message 2 holds a call that cannot be read"),
        (answer(None), "conversations", "message 2 lacks content"),
    ],
)  # fmt: skip
def test_malformed_records(tmp_path, record, field, reason):
    rows, (skipped,) = convert_records(tmp_path, "hermes", [RECORD, record, RECORD])
    assert len(rows) == 4
    assert (skipped.index, skipped.field) == (1, field)
    assert reason in skipped.reason
