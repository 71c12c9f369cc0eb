"""API-Bank's questions as rows."""

import json

import pytest

from egpo_trl.data.rows import row_problem
from egpo_trl.evaluation.api_bank.data import make_official_row, make_row, read_questions, write_api_calls
from egpo_trl.tool_calls.calls import ToolCall


def test_questions_come_with_the_history_that_their_number_means(checkout):
    questions = {question.id: question for question in read_questions(checkout, 1)}
    assert {name: len(question.history) for name, question in questions.items()} == {
        "AddAlarm-level-1-1_0": 2,
        "AddAlarm-level-1-1_1": 3,  # what follows the first call is a call: asked twice, as officially
        "AddAlarm-level-1-1_2": 3,
        "Translate-level-1-1_0": 2,
    }
    assert [question.category for question in questions.values()] == ["calls", "calls", "calls", "web"]
    assert [question.category for question in read_questions(checkout, 2)] == ["tool_search", "calls"]


def test_the_dialogue_becomes_messages_and_the_last_one_asks_for_the_call(checkout):
    row = make_row(read_questions(checkout, 1)[1])
    assert [(message["role"], message["content"]) for message in row["prompt"]] == [
        ("system", "It is the year 2023."),
        ("user", "Alarm at 7. My token is abc."),
        ("assistant", "One moment."),  # and its call: one step, as in training
        ("tool", '{"alarms": [5, 7]}'),
        ("user", "Now make the call that comes next."),
    ]
    assert row["prompt"][2]["tool_calls"][0]["function"]["name"] == "AddAlarm"
    assert row_problem(row, 0, ("prompt", "tools")) is None
    (tool,) = json.loads(row["tools"])
    assert tool["function"]["parameters"]["properties"]["token"]["type"] == "string"
    assert tool["function"]["parameters"]["required"] == ["token"]  # the other says that it is optional


def test_the_official_prompt_is_that_of_the_checkout(checkout):
    question = read_questions(checkout, 1)[0]
    row = make_official_row(question)
    assert row["tools"] == "[]"
    assert [message["content"] for message in row["prompt"]] == [question.instruction, question.input]


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ({}, "[F()]"),
        ({"a": 1, "b": 2.5, "c": True, "d": "x"}, "[F(a='1', b='2.5', c='True', d='x')]"),
        ({"a": ["x", 1]}, "[F(a=['x', 1])]"),
    ],
)
def test_calls_are_written_as_the_official_prompt_asks(arguments, written):
    assert write_api_calls([ToolCall("F", arguments)]) == written


def change(checkout, **fields):
    file = checkout / "json_test_data" / "level-1-api.json"
    records = json.loads(file.read_text())
    records[0] |= fields
    file.write_text(json.dumps(records))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "0"}, "question 0: field 'id'"),
        ({"input": None}, "question 0: field 'input'"),
        ({"file": "other.jsonl"}, r"dialogue .*other\.jsonl is missing"),
        ({"file": "../../evaluator_by_json.py"}, r"level-1-given-desc/evaluator_by_json\.py is missing"),
        ({"id": 9}, "does not contain sample 9"),
        ({"id": 3}, "sample 3 of its dialogue is not a call"),
        ({"id": -1}, "does not contain sample -1"),
        ({"id": 1}, "asks a question twice"),
    ],
)
def test_a_question_that_does_not_fit_is_named(checkout, fields, message):
    change(checkout, **fields)
    with pytest.raises(ValueError, match=message):
        read_questions(checkout, 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 100_000])
def test_a_broken_file_is_named(checkout, text):
    (checkout / "json_test_data" / "level-1-api.json").write_text(text)
    with pytest.raises(ValueError, match=r"level-1-api\.json"):
        read_questions(checkout, 1)


@pytest.mark.parametrize("instruction", ["nothing", "API descriptions:\n{", "API descriptions:\n{}"])
def test_an_instruction_without_functions_is_an_error(checkout, instruction):
    change(checkout, instruction=instruction)
    with pytest.raises((ValueError, KeyError)):
        make_row(next(one for one in read_questions(checkout, 1) if one.instruction == instruction))
