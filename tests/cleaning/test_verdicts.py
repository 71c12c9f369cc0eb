"""Replies of the judge: what is a verdict and what is not, and that nothing takes long to say no to."""

import json
import time

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egpo_trl.cleaning.candidates import Candidate, from_row, from_value
from egpo_trl.cleaning.verdicts import MAX_REASON_CHARACTERS, VERDICT_SCHEMA, InvalidVerdict, parse_verdict
from tests.cleaning.world_judge import verdict_text

CALLS = [{"name": "f", "arguments": {"a": [1, {"b": None}]}}]
JUDGED = Candidate(CALLS)


@pytest.mark.parametrize(
    "text",
    [
        verdict_text(True),
        '{"correct": true, "reason": ""}',
        "\n" + verdict_text(True) + "\n ",
        "<think>hm, {a}</think>\n" + verdict_text(True),
        "```json\n" + verdict_text(True) + "\n```",
        "<think>x</think>\n```\n" + verdict_text(True) + "\n```",
        verdict_text(True, CALLS),
        verdict_text(True, []),
        verdict_text(True, ""),
    ],
)
def test_correct(text):
    verdict = parse_verdict(text, JUDGED)
    assert verdict.correct is True
    assert verdict.corrected is None


@pytest.mark.parametrize("corrected", [CALLS, "Which city?", [], None])
def test_corrections(corrected):
    text = verdict_text(False, corrected)
    jsonschema.validate(json.loads(text), VERDICT_SCHEMA)
    verdict = parse_verdict(text, JUDGED)
    assert not verdict.correct
    assert (verdict.corrected.value if verdict.corrected else None) == corrected
    if corrected is not None:
        assert from_value(verdict.corrected.value) == verdict.corrected


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(CALLS),
        f" {json.dumps(CALLS, indent=1)}\n",
        json.dumps(CALLS[0]),
        json.dumps([{"type": "function", "function": {"name": "f", "arguments": json.dumps(CALLS[0]["arguments"])}}]),
        "[f(a=[1, {'b': None}])]",
    ],
)
def test_calls_in_a_string_are_calls(written):
    verdict = parse_verdict(verdict_text(False, written), Candidate([]))
    assert verdict.corrected == Candidate(CALLS)
    assert verdict.corrected.value == CALLS
    assert parse_verdict(verdict_text(True, written), JUDGED).correct


@pytest.mark.parametrize("text", ["Which city?", '{"temperature": 3}', "[1] says so.", "Use f(x)."])
def test_texts_stay_texts(text):
    assert parse_verdict(verdict_text(False, text), JUDGED).corrected == Candidate([], text)


@pytest.mark.parametrize(
    "text", ["f(a=1)", "Sure: f(a=1)", "[f(a=1)] and [f(a=2)]", "Call f().", 'a {"name": "f", "arguments": {}}']
)
def test_texts_that_call_a_function_of_the_row_are_no_verdicts(text):
    with pytest.raises(InvalidVerdict, match="a piece of a call"):
        parse_verdict(verdict_text(False, text), JUDGED, {"f"})
    if '"arguments"' in text:  # a call of whatever function
        with pytest.raises(InvalidVerdict, match="a piece of a call"):
            parse_verdict(verdict_text(False, text), JUDGED, {"g"})
    else:
        assert parse_verdict(verdict_text(False, text), JUDGED, {"g"}).corrected == Candidate([], text)
    assert parse_verdict(verdict_text(True, text), Candidate([], text), {"f"}).correct  # the answer again


def test_an_empty_list_in_a_string_is_an_unknown_text():
    assert parse_verdict(verdict_text(False, "[]"), JUDGED).corrected == Candidate([])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("Yes, it is correct.", "not JSON"),
        ("<think>and so on", "chain of thought"),
        ("[]", "must be an object"),
        ("null", "must be an object"),
        ('{"correct": true}', "must be an object"),
        ('{"correct": true, "reason": "", "score": 1}', "must be an object"),
        ('{"correct": 1, "reason": ""}', "'correct' must be"),
        ('{"correct": "true", "reason": ""}', "'correct' must be"),
        ('{"correct": true, "reason": null}', "'reason' must be"),
        ('{"correct": false, "reason": ""}', "'corrected' is missing"),
        (verdict_text(True, [{"name": "g", "arguments": {}}]), "another answer though"),
        (verdict_text(True, "No."), "another answer though"),
        (verdict_text(True, 7), "list of calls"),
        (verdict_text(False, {"name": "f", "arguments": {}}), "list of calls"),
        (verdict_text(False, 7), "list of calls"),
        (verdict_text(False, " "), "must not be blank"),
        (verdict_text(False, [{"name": "f"}]), "call 0: a call must have"),
        (verdict_text(False, '[{"name": "f", "arguments": [1]}]'), "'arguments' must be an object|must be an object"),
        (verdict_text(False, f"<tool_call>{json.dumps(CALLS[0])}</tool_call>"), "a piece of a call"),
        (verdict_text(False, json.dumps(CALLS * 200)), "more than 128"),
        (verdict_text(False, [{"name": "f", "arguments": "{}"}]), "must be an object"),
        (verdict_text(False, CALLS * 200), "more than 128"),
        (verdict_text(True) + verdict_text(True), "not JSON"),
        ('{"correct": true, "correct": false, "reason": ""}', "duplicate key"),
        ('{"correct": true, "reason": "\\ud800"}', "surrogate"),
        (verdict_text(False, [{"name": "f", "arguments": {"a": float("nan")}}]), "NaN"),
        (verdict_text(True)[:-5], "not JSON"),
    ],
)
def test_no_verdicts(text, message):
    with pytest.raises(InvalidVerdict, match=message):
        parse_verdict(text, JUDGED)


@pytest.mark.parametrize(
    "text",
    ["[" * 900_000, '{"correct": ' * 80_000, "```json\n" * 100_000, "<think>" * 100_000, "1" * 900_000, "\\" * 900_000,
     '{"correct": false, "reason": "", "corrected": ' + "[" * 5000 + "]" * 5000 + "}", "```\n" + "\n" * 900_000],
    ids=range(8),
)  # fmt: skip
def test_hostile_replies_take_no_time(text):
    start = time.process_time()
    with pytest.raises(InvalidVerdict):
        parse_verdict(text, JUDGED)
    assert time.process_time() - start < 0.5


def test_long_reasons_are_cut():
    assert len(parse_verdict(verdict_text(True, reason="x" * 9000), JUDGED).reason) == MAX_REASON_CHARACTERS


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda s: st.lists(s) | st.dictionaries(st.text() | st.sampled_from(["correct", "reason", "corrected"]), s),
        max_leaves=8,
    )
)
def test_any_json_is_a_verdict_or_none(value):
    try:
        verdict = parse_verdict(json.dumps(value), JUDGED)
    except InvalidVerdict:
        return
    if not verdict.correct:
        jsonschema.validate(value, VERDICT_SCHEMA)
    assert isinstance(verdict.correct, bool)


def test_candidates():
    row = {"reference": json.dumps(CALLS), "answer": None}
    assert from_row(row) == Candidate(CALLS)
    assert json.loads(from_row(row).render()) == CALLS
    text = from_row({"reference": "[]", "answer": "No."})
    assert text.columns() == {"reference": "[]", "answer": "No."}
    assert "No." in text.render()
    assert from_row({"reference": "[]"}).render() == "(some text, no call)"
    assert Candidate(CALLS, "left over").columns()["answer"] is None
