"""Function schemas in texts."""

import contextlib
import json
import time

import pytest

from egpo_trl.data.function_text import functions_in, lists_functions, load_long_json, read_functions

F = {
    "name": "f",
    "description": "It's a {brace}.",
    "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
}
G = {"name": "g", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    "value",
    [
        [F, G], json.dumps([F, G]), json.dumps(F) + "\n" + json.dumps(G), json.dumps(F, indent=2) + json.dumps(G), repr([F, G]),
        f"{F!r}\n{G!r}", [json.dumps(F), repr(G)], {"tools": [F, G]}, json.dumps({"functions": [F, G]}),
        {"f": {key: value for key, value in F.items() if key != "name"}, "g": {"parameters": G["parameters"]}},
        [{"type": "function", "function": F}, {"type": "function", "function": G}],
        [{"name": "f", "description": F["description"], "inputSchema": F["parameters"]}, {"name": "g", "input_schema": G["parameters"]}],
        [{**F, "parameters": json.dumps(F["parameters"])}, G], [F, {"type": "web_search"}, G, F],
        [{"api_name": "f", "api_description": F["description"], "parameters": F["parameters"]}, {"apiCode": "g"}],
    ],
)  # fmt: skip
def test_every_spelling(value):
    found = [tool["function"] for tool in read_functions(value)]
    assert [tool["name"] for tool in found] == ["f", "g"]
    assert found[0]["description"] == F["description"]
    assert found[0]["parameters"] == F["parameters"]


@pytest.mark.parametrize("value", ["", " ", [], "[]", {}, "{}"])
def test_no_functions(value):
    assert read_functions(value) == []


@pytest.mark.parametrize(
    "value", ["f", "{", "[1]", f"see {json.dumps(F)}", f"{json.dumps(F)} and {json.dumps(G)}", "{'name': f}", 3]
)
def test_what_is_not_a_list_of_functions(value):
    with pytest.raises(ValueError, match=r"."):
        read_functions(value)


@pytest.mark.parametrize(
    "text",
    ["Use <tools></tools>:\n<tools>\n%s\n</tools>", "<tool>%s</tool>", "[AVAILABLE_TOOLS]%s[/AVAILABLE_TOOLS]",
     "<|im_system|>tool_declare<|im_middle|>%s<|im_end|>", "<AVAILABLE_TOOLS>%s</AVAILABLE_TOOLS>"],
)  # fmt: skip
def test_functions_in_a_system_message(text):
    assert [tool["function"]["name"] for tool in functions_in(text % json.dumps([F, G]))] == ["f", "g"]
    assert lists_functions(text % json.dumps([F, G]), ["f", "g"])


def test_a_policy_is_not_a_list_of_functions():
    assert functions_in("Be kind.") is None
    assert not lists_functions('Call "f" with care.', ["f"])
    assert not lists_functions(json.dumps([F]), ["f", "g"])
    assert not lists_functions("parameters", [])


def test_long_json():
    assert load_long_json(json.dumps(["x" * 200_000])) == ["x" * 200_000]


@pytest.mark.parametrize(
    "text",
    [
        "{" * 90_000,
        "\\'" * 90_000,
        "'" * 90_001,
        '"' * 90_001,
        "{}" * 45_000,
        "{'" * 45_000,
        "[" * 90_000,
        "<tools>" * 20_000,
    ],
)
def test_hostile_texts_take_no_time(text):
    start = time.process_time()
    for read in (read_functions, functions_in):
        with contextlib.suppress(ValueError):
            read(text)
    assert time.process_time() - start < 2
