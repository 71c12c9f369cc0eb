"""ToolACE: functions in the system text, pythonic calls with blanks in names, and malformed records."""

import json

import pytest

from tests.data.sources.converting import convert_records, parameters, reference, without

FUNCTIONS = [
    {
        "name": "Get Top Market Trends",
        "description": "Fetch market trends.",
        "parameters": {
            "type": "dict",
            "properties": {
                "trend_type": {"type": "string", "enum": ["MARKET_INDEXES", "CRYPTO"]},
                "country": {"type": "string", "default": "us"},
                "limits": {"type": "dict", "properties": {"rows": {"type": "int"}}, "required": ["rows"]},
            },
            "required": ["trend_type"],
        },
        "required": None,
    },
    {
        "name": "getEvents",
        "description": "Events.",
        "parameters": {"type": "dict", "properties": {}},
        "required": None,
    },
]
SYSTEM = (
    "You compose functions. Here is a list of functions in JSON format that you can invoke:\n"
    f"{json.dumps(FUNCTIONS)}. \nPut it in the format of [func1(params_name=params_value), func2(params)]"
)
RECORD = {
    "system": SYSTEM,
    "conversations": [
        {"from": "user", "value": "Top market trends in the US, and events?"},
        {
            "from": "assistant",
            "value": '[Get Top Market Trends(trend_type="MARKET_INDEXES", country="us"), getEvents()]',
        },
        {
            "from": "tool",
            "value": '[{"name": "Get Top Market Trends", "results": {"trends": [1]}}, {"name": "getEvents", "results": "none"}]',
        },
        {"from": "assistant", "value": "Here they are: [S&P 500]."},
        {"from": "user", "value": "And crypto, five rows?"},
        {"from": "assistant", "value": "[Get Top Market Trends(trend_type='CRYPTO', limits={\"rows\": 5})]"},
    ],
}


def turns(*values):
    return {**RECORD, "conversations": [{"from": sender, "value": value} for sender, value in values]}


def test_each_assistant_step_is_a_row(tmp_path):
    rows, skipped = convert_records(tmp_path, "toolace", [RECORD])
    assert skipped == []
    assert [row["id"] for row in rows] == ["toolace-0-0", "toolace-0-1", "toolace-0-2"]
    assert [[call["name"] for call in reference(row)] for row in rows] == [
        ["Get Top Market Trends", "getEvents"],
        [],
        ["Get Top Market Trends"],
    ]
    assert [row["answer"] for row in rows] == [None, "Here they are: [S&P 500].", None]
    assert reference(rows[2])[0]["arguments"] == {"trend_type": "CRYPTO", "limits": {"rows": 5}}
    assert [[m["role"] for m in row["prompt"]] for row in rows] == [
        ["user"],
        ["user", "assistant", "tool", "tool"],
        ["user", "assistant", "tool", "tool", "assistant", "user"],
    ]
    calls, first, second = rows[1]["prompt"][1:]
    assert calls["content"] == ""
    assert [call["id"] for call in calls["tool_calls"]] == ["call_0", "call_1"]
    assert json.loads(calls["tool_calls"][0]["function"]["arguments"]) == {
        "trend_type": "MARKET_INDEXES",
        "country": "us",
    }
    assert first == {
        "role": "tool",
        "content": '{"trends": [1]}',
        "tool_call_id": "call_0",
        "name": "Get Top Market Trends",
    }
    assert (second["tool_call_id"], second["content"]) == ("call_1", "none")
    schema = parameters(rows[0])["Get Top Market Trends"]
    assert schema["type"] == schema["properties"]["limits"]["type"] == "object"
    assert schema["required"] == ["trend_type"]
    assert schema["properties"]["limits"]["properties"]["rows"] == {"type": "integer"}


def test_the_system_text_without_its_list_is_kept_on_demand(tmp_path):
    rows, _ = convert_records(tmp_path, "toolace", [RECORD], keep_system=True)
    system = rows[0]["prompt"][0]
    assert system["role"] == "system"
    assert system["content"].startswith("You compose functions.")
    assert "trend_type" not in system["content"]


def test_results_that_are_no_list_are_one_result(tmp_path):
    for value in ("done", "[1, 2]", "[broken", '[{"a": 1}] and more'):
        record = turns(("user", "q"), ("assistant", "[getEvents()]"), ("tool", value), ("assistant", "ok"))
        rows, _ = convert_records(tmp_path, "toolace", [record])
        assert rows[1]["prompt"][-1]["content"] == value


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        (without(RECORD, "system"), "system", "must be the text"),
        ({**RECORD, "system": "No functions."}, "system", "holds no list of functions"),
        ({**RECORD, "system": 'Functions: [{"name": "f", ]'}, "system", "the list of functions is not JSON"),
        ({**RECORD, "system": 'Functions: [{"title": "f"}]'}, "system", "a function lacks a 'name'"),
        (without(RECORD, "conversations"), "conversations", "is missing"),
        ({**RECORD, "conversations": []}, "conversations", "must be a non-empty list of messages"),
        ({**RECORD, "conversations": ["hi"]}, "conversations", "message 0 must have a role"),
        (turns(("robot", "hi")), "conversations", "message 0 has the unknown role 'robot'"),
        (turns(("user", None)), "conversations", "message 0 lacks content"),
        (turns(("user", "q"), ("assistant", "")), "conversations", "message 1 lacks content"),
        (turns(("assistant", "hello")), "conversations", "lacks an assistant message after a user message"),
        (turns(("user", "q"), ("assistant", "[getEvents(1)]")), "conversations", "message 1 holds a call, or a piece"),
        (
            turns(("user", "q"), ("assistant", "[getEvents(a=x.y)]")),
            "conversations",
            "message 1 holds a call, or a piece",
        ),
        (
            turns(("user", "q"), ("assistant", "Sure: [getEvents()]")),
            "conversations",
            "message 1 holds a call, or a piece of one",
        ),
        (turns(("user", "q"), ("assistant", "[getEvents(a=" + "[" * 500 + ")]")), "conversations", "cannot be read"),
        (turns(("user", "q"), ("assistant", "<tool_call>{}")), "conversations", "a tag is missing"),
        (turns(("user", "q"), ("function_call", "{}")), "conversations", "message 1 is not a call"),
    ],
)
def test_malformed_records(tmp_path, record, field, reason):
    rows, (skipped,) = convert_records(tmp_path, "toolace", [RECORD, record, RECORD])
    assert len(rows) == 6
    assert (skipped.index, skipped.field) == (1, field)
    assert reason in skipped.reason
