"""ACEBench's entries as rows, prompts and references."""

import json

import pytest

from egpo_trl.data.prompts import to_messages
from egpo_trl.data.rows import row_problem
from egpo_trl.evaluation.acebench.data import (
    GROUPS,
    NORMAL,
    SPECIAL,
    Prompts,
    read_entries,
    split_dialogue,
)
from egpo_trl.evaluation.subsets import find_categories


def entries_of(checkout, category):
    return read_entries(checkout, "en", category)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("normal,special", (*NORMAL, *SPECIAL)),
        ("special_irrelevant", ("special_irrelevant",)),
        ("multi_turn, multi_turn", ("normal_multi_turn_user_adjust", "normal_multi_turn_user_switch")),
    ],
)
def test_categories_and_groups(names, expected):
    assert find_categories(names, GROUPS, NORMAL + SPECIAL) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("normal,agent_multi_step", "not evaluated here"),
        ("simple", "choose among normal, special"),
        (" , ", "at least one"),
    ],
)
def test_other_categories_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        find_categories(names, GROUPS, NORMAL + SPECIAL)


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("user: a\nsystem: b: c\nuser: d\ne\n", [("user", "a"), ("assistant", "b: c"), ("user", "d\ne")]),
        ("user: a\nsystem:\nuser:b\n", [("user", "a"), ("user", "b")]),
        ("no marks", [("user", "no marks")]),
        ("before user: a\nuser: b", [("user", "before user: a\nuser: b")]),
        ("user: the user: x", [("user", "the user: x")]),
    ],
)
def test_dialogues_are_split_at_the_marks(text, turns):
    assert split_dialogue(text) == turns


def test_a_dialogue_becomes_messages_with_its_calls(checkout):
    prompts = Prompts(checkout, "en")
    row = prompts.row(entries_of(checkout, "normal_multi_turn_user_adjust")[1], "normal_multi_turn_user_adjust")
    assert [(m["role"], m["content"]) for m in row["prompt"]] == [
        ("user", "Lamp on."), ("assistant", ""), ("assistant", "It shines."), ("user", "Off again."),
    ]  # fmt: skip
    (call,) = row["prompt"][1]["tool_calls"]
    assert call["function"] == {"name": "lamp", "arguments": '{"on": true}'}
    assert json.loads(row["tools"])[0]["function"]["parameters"]["type"] == "object"
    assert row_problem(row, 0, ("prompt", "tools")) is None
    assert to_messages(row, "paper")[2] == {"role": "assistant", "content": "[lamp(on=True)]\nIt shines."}


def test_time_profile_and_the_answers_that_are_looked_for_stand_in_the_system_message(checkout):
    prompts = Prompts(checkout, "en")
    first = entries_of(checkout, "normal_single_turn_single_function")[0]
    assert prompts.row(first, "normal_single_turn_single_function")["prompt"][0]["content"] == "It is Monday."
    profile = entries_of(checkout, "normal_preference")[0]
    assert "likes 5 minutes" in prompts.row(profile, "normal_preference")["prompt"][0]["content"]
    special = entries_of(checkout, "special_irrelevant")[0]
    system = prompts.row(special, "special_irrelevant")["prompt"][0]
    assert system["role"] == "system"
    for answer in ("Wrong (value) for (key).", "Lacking (key1, key2) for (ApiName)", "No function fits."):
        assert answer in system["content"]


def test_a_function_that_stands_twice_is_offered_once(checkout):
    entry = entries_of(checkout, "normal_single_turn_single_function")[2]
    row = Prompts(checkout, "en").row(entry, "normal_single_turn_single_function")
    assert len(json.loads(row["tools"])) == 1


@pytest.mark.parametrize(
    ("category", "system"),
    [
        ("normal_single_turn_single_function", "Make calls. It is Monday.\n[{'name': 'set_timer'"),
        ("normal_preference", "Make calls for likes 5 minutes.\n[{'name': 'set_timer'"),
        ("special_irrelevant", 'Make calls between "[" and "]". '),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_official_prompt_is_that_of_the_checkout(checkout, category, system, language):
    entry = entries_of(checkout, category)[0]
    row = Prompts(checkout, language).official_row(entry, category)
    assert row["prompt"][0]["content"].startswith(system)
    assert row["prompt"][1] == {"role": "user", "content": f"Dialogue:\n{entry.question['question']}"}
    assert row["tools"] == "[]"


@pytest.mark.parametrize(
    ("category", "references"),
    [
        ("normal_single_turn_single_function",
         ["[set_timer(minutes=4, label='green tea')]", "[set_timer(minutes=6)]", "[set_timer(minutes=9)]"]),
        ("normal_atom_bool", ["[lamp(on=False)]"]),
        ("special_incomplete", ["Lacking (minutes) for (set_timer)"]),
        ("special_error_param", ["Wrong (blue) for (minutes)."]),
        ("special_irrelevant", ["No function fits."]),
    ],
)  # fmt: skip
def test_references_are_answers_of_a_model_that_is_always_right(checkout, category, references):
    prompts = Prompts(checkout, "en")
    assert [prompts.reference(entry, category) for entry in entries_of(checkout, category)] == references


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("data_normal_atom_bool.json", '{"id": "x"', r"data_normal_atom_bool\.json, line 1"),
        ("data_normal_atom_bool.json", '{"id": "x"}', "field 'question'"),
        ("data_normal_atom_bool.json", '{"id": "x", "question": "user: a", "function": {"name": "f"}}', "id by id"),
        ("data_normal_atom_bool.json", "", "id by id"),
        ("possible_answer/data_normal_atom_bool.json", '{"id": "normal_atom_bool_0"}', "lacks 'ground_truth'"),
    ],
)
def test_a_broken_file_is_named(checkout, file, line, message):
    (checkout / "data_all" / "data_en" / file).write_text(f"{line}\n")
    with pytest.raises(ValueError, match=message):
        entries_of(checkout, "normal_atom_bool")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = (", "cannot be read"),
        ("import os\nos.abort()", "does not define SYSTEM_PROMPT_FOR_SPECIAL_DATA_EN"),
        ("SYSTEM_PROMPT_FOR_SPECIAL_DATA_EN = '[\"One.\"]'", "names 1 answers, not 3"),
    ],
)
def test_broken_official_prompts_are_an_error_and_never_run(checkout, source, message):
    (checkout / "model_inference" / "prompt_en.py").write_text(source)
    with pytest.raises(ValueError, match=message):
        Prompts(checkout, "en").row(entries_of(checkout, "special_irrelevant")[0], "special_irrelevant")
