"""Leaks of benchmark questions into rows, by the real questions of BFCL and by a slow oracle."""

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.data.leaks import MIN_WORDS, BenchmarkLeaks, load_questions
from egpo_trl.data.sources.bfcl import questions
from egpo_trl.demo.world import make_rows

QUESTION = "What is the area of a triangle whose base is 10 units and whose height is 5 units?"


def row(*texts, role="user"):
    return {"prompt": [{"role": role, "content": text} for text in texts]}


@pytest.fixture(scope="module")
def bfcl():
    found = list(questions())
    return found, BenchmarkLeaks(found)


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        (QUESTION, True),
        (QUESTION.upper().replace(",", " ").replace("?", " !!"), True),
        ("Ｗhat is the area of a triangle whose base is 10 units, and whose height is 5 units", True),
        (f"Please: {QUESTION}", True),
        (QUESTION.replace("5 units", "5 metres"), True),
        ("What is the area of a circle with a radius of 5 units?", False),
        ("What is the area of a triangle?", False),
        ("area", False),
        ("", False),
        ("?!", False),
    ],
)
def test_exact_and_near(text, leaks):
    check = BenchmarkLeaks([("q1", QUESTION), ("q2", "Hi!"), ("q3", "")])
    assert (check(row(text)) == "benchmark_leak") is leaks
    assert (check({"prompt": text}) == "benchmark_leak") is leaks
    assert (check.find(row("something else", text)) is not None) is leaks


def test_short_questions_and_other_roles():
    check = BenchmarkLeaks([("q1", QUESTION), ("q2", "Hi there")], min_words=2)
    assert check.find(row("hi, there")) == ("q2", 1.0)
    assert check.find(row("hi you there")) is None
    check = BenchmarkLeaks(
        [("q1", QUESTION), ("q2", "hello"), ("q3", "How are you today?"), ("q4", "What is the time now?")]
    )
    for text in ("Hello!", "hello", "How are you today?", "how are you"):
        assert check(row(text)) is None
    assert check.find(row("what is the time now")) == ("q4", 1.0)
    with pytest.raises(ValueError, match="min_words must be at least 1"):
        BenchmarkLeaks([], min_words=0)
    assert check(row(QUESTION, role="assistant")) is None
    for prompt in (None, 3, [3], [{"role": "user"}], [{"role": "user", "content": None}]):
        assert check({"prompt": prompt}) is None


def test_languages_without_blanks():
    question = "北京明天的天气怎么样，需要带伞吗？我早上八点出门，晚上才回家。"
    check = BenchmarkLeaks([("q", question), ("short", "你是谁")])
    assert check.find(row("北京明天的天气怎么样 需要带伞吗 我早上八点出门 晚上才回家")) == ("q", 1.0)
    assert check.find(row("北京明天的天气怎么样，需要带伞吗？我早上九点出门，晚上才回家。"))[0] == "q"
    assert check(row("上海的房价是多少，比去年高吗？")) is None
    assert check(row("你是谁")) is None


def test_questions_of_a_file_of_rows_a_folder_and_the_package(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps({**row(text), "id": f"r{i}"}) for i, text in enumerate((QUESTION, "Hi"))))
    assert list(load_questions(str(file))) == [("r0", QUESTION), ("r1", "Hi")]
    (tmp_path / "BFCL_v4_simple_python.json").write_text(
        json.dumps({"id": "s0", "question": [[{"role": "user", "content": QUESTION}]]})
    )
    assert list(load_questions(str(tmp_path))) == [("s0", QUESTION)]
    assert next(load_questions("bfcl")) == next(questions())
    with pytest.raises(FileNotFoundError, match="there is no file"):
        list(load_questions(str(tmp_path / "none.jsonl")))


def test_threshold():
    text = QUESTION.replace("5 units", "5 metres")
    _, similarity = BenchmarkLeaks([("q", QUESTION)], threshold=0.1).find(row(text))
    assert 0.7 < similarity < 1
    assert BenchmarkLeaks([("q", QUESTION)], threshold=similarity).find(row(text)) == ("q", similarity)
    assert BenchmarkLeaks([("q", QUESTION)], threshold=similarity + 1e-9).find(row(text)) is None
    for threshold in (0, 1.1, -1):
        with pytest.raises(ValueError, match="threshold must be above 0"):
            BenchmarkLeaks([], threshold)


def test_every_question_of_bfcl_is_found_and_the_embedded_world_is_clean(bfcl):
    found, check = bfcl
    short = [text for _, text in found if check(row(text)) is None]
    assert 0 < len(short) < 0.05 * len(found)
    assert all(len(text.split()) < MIN_WORDS for text in short)
    assert not any(map(check, make_rows(500)))


def test_questions_with_one_word_changed_are_found(bfcl):
    found, check = bfcl
    rng = random.Random(0)
    long = [text for _, text in found if len(text.split()) >= 20]
    changed = []
    for text in rng.sample(long, 300):
        words = text.split()
        words[rng.randrange(len(words))] = "zyx"
        changed.append(" ".join(words))
    assert sum(check(row(text)) is not None for text in changed) == 300


def test_a_long_message_ends_soon(bfcl):
    found, check = bfcl
    start = time.process_time()
    assert check(row(" ".join(text for _, text in found) * 3)) is None
    assert time.process_time() - start < 2


def oracle(question, text):
    def shingles(value):
        words = value.split()
        return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}

    a, b = shingles(question), shingles(text)
    return len(a & b) / len(a | b)


WORDS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=9).map(" ".join)


@settings(deadline=None, max_examples=300)
@given(st.lists(WORDS, min_size=1, max_size=5), WORDS, st.sampled_from([0.3, 0.5, 0.7, 1.0]))
def test_the_index_finds_what_comparing_with_every_question_finds(listed, text, threshold):
    best = max(1.0 if question == text else oracle(question, text) for question in listed)
    found = BenchmarkLeaks(enumerate(listed), threshold, min_words=1).find(row(text))
    assert (found is not None) == (best >= threshold)
    assert found is None or found[1] == best
