"""Prompt styles."""

import json

import pytest

from egpo_trl.demo.world import make_rows
from egpo_trl.prompts import to_messages

ROW = make_rows(1)[0]


def test_native_is_the_row():
    assert to_messages(ROW) == ROW["prompt"]


def test_paper_lists_the_functions_once_and_names_the_form():
    system, *rest = to_messages(ROW, "paper")
    assert rest == ROW["prompt"]
    assert system["role"] == "system"
    for tool in json.loads(ROW["tools"]):
        assert system["content"].count(json.dumps(tool["function"])) == 1
    assert "<think></think>" in system["content"]
    assert "[func_name1(params_name1=params_value1" in system["content"]


def test_paper_keeps_the_rows_own_system_message():
    row = {**ROW, "prompt": [{"role": "system", "content": "Be brief."}, *ROW["prompt"]]}
    messages = to_messages(row, "paper", ("<r>", "</r>"))
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[0]["content"].endswith("Be brief.")
    assert "<r></r>" in messages[0]["content"]
    assert row["prompt"][0]["content"] == "Be brief."


def test_errors():
    with pytest.raises(ValueError, match="prompt_style must be one of"):
        to_messages(ROW, "chat")
    with pytest.raises(ValueError, match="rendered string"):
        to_messages({**ROW, "prompt": "text"}, "paper")
