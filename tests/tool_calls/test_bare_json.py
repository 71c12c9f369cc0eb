"""Reading bare JSON calls: Llama-3.1 and xLAM."""

import pytest

from egpo_trl.tool_calls.calls import State, ToolCall
from egpo_trl.tool_calls.syntaxes.bare_json import read_bare_json

CALL = '{"name": "f", "parameters": {"a": 1}}'
F = ToolCall("f", {"a": 1})


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (CALL, [F]),
        (f"\n {CALL}\n", [F]),
        (f"[{CALL}]", [F]),
        (f"<|python_tag|>{CALL}", [F]),
        (f"{CALL}; {CALL}", [F, F]),
        ("<|python_tag|>search.call(query=\"a\")", [ToolCall("search", {"query": "a"})]),
        (f"[{CALL},\n {CALL}]", [F, F]),
        ('{"parameters": {}, "name": "a.b"}', [ToolCall("a.b", {})]),
        ('{"name": "f", "arguments": {"a": {"b": [1, null, true, 1.5, "é"]}}}', [ToolCall("f", {"a": {"b": [1, None, True, 1.5, "é"]}})]),
    ],
)  # fmt: skip
def test_calls(text, calls):
    answer = read_bare_json(text)
    assert answer.state is State.CALL
    assert list(answer.calls) == calls


@pytest.mark.parametrize(
    "text", ["[1]", "No function fits.", "Use a colon: like this", "1 < 2 and 3 > 2", "see [1] and {x}", "true", '"f"']
)
def test_text(text):
    assert read_bare_json(text).state is State.TEXT


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", "[]", "{}", "[[]]", CALL[:-1], CALL + "}", f"[{CALL}", f"[{CALL},]",
        f"{CALL}\n{CALL}", f"{CALL};", f"{CALL} {CALL}", f"Sure: {CALL}", f"{CALL} done", '{"name": "f"}', '{"parameters": {}}',
        '{"name": "f", "parameters": {}, "arguments": {}}', '{"name": "f", "parameters": {}, "id": 1}',
        '{"name": "f", "parameters": []}', '{"name": "", "parameters": {}}', '{"name": 1, "parameters": {}}',
        '{"name": "f", "parameters": {"a": NaN}}', '{"name": "f", "parameters": {"a": 1e999}}',
        '{"name": "f", "parameters": {"a": 1, "a": 1}}', "{'name': 'f', 'parameters': {}}", f"```json\n{CALL}\n```",
        '{"name": "f", "parameters": "{}"}', "{" * 100_000, '{"name": "f", "parameters": ' + "[" * 10_000 + "]" * 10_000 + "}",
        f"<|python_tag|>{CALL} x", f"<tool_call>{CALL}</tool_call>", '{"name": "f", "parameters": {"a": "\\ud800"}}',
    ],
)  # fmt: skip
def test_malformed(text):
    assert read_bare_json(text, ["f"]).state is State.MALFORMED


def test_text_beside_calls():
    for text in (f"Sure: {CALL}", f"{CALL} done", f"a {CALL} b"):
        assert read_bare_json(text).reason == "text_beside_calls"
        assert read_bare_json(text, allow_text=True).calls == (F,)
    for text in (f"{CALL} {CALL}", f"<tool_call> {CALL}", f"{CALL} g(x=1)", f"see [1] {CALL}"):
        assert read_bare_json(text, ["g"], allow_text=True).state is State.MALFORMED
