"""Time is linear in an answer: runs of every character that some pattern repeats, in every place, for every syntax.

A policy degenerates into loops of blanks and brackets. A quadratic pattern takes seconds at 95,000 characters.
"""

import contextlib
import copy
import itertools
import time

import pytest

from egpo_trl import ToolCallReward
from egpo_trl.data.assistant_text import read_assistant, read_written_calls
from egpo_trl.tool_calls.named_calls import read_named_calls
from tests.conftest import trl_template

TOOLS = '[{"name": "f", "parameters": {}}, {"name": "get_weather", "parameters": {}}]'
CALL = '[{"name": "f", "arguments": {"a": 1}}]'
BLANKS = [*" \n\t\r\f\v\x00\x1c\u00a0\u2003\u200b\ufeff\u0301", "\u0315\u0316"]
MARKS = list("[](){}<>\"'`\\|/,:=-+~#*$&._x9\u201c\ufdfa")
PIECES = [
    '\\"', "\\u0041", "a=1,", "f", "f ", "f(", "[f(", "f()", "f\n", "f {", "<tool_call>", "</tool_call>", "<think>", "</think>",
    "<think></think>", '{"a":', "not ", "- ", "'''", "$\n", "`\n", "[a](", "\\(", "< ", "<f ", "Action: ", "<|im_end|>", "&lt;",
]  # fmt: skip
RUNS = [*BLANKS, *MARKS, *PIECES]
PLACES = [
    "{}", "Sure: <{}x", "Sure: {{{}x", "[f(a='{}')]", "[{}f(a=1)]", "f{}(a=1)",
    '<tool_call>{{"name": "f", "arguments": {{"a": "{}"}}}}</tool_call>', '{{"name": "f", "parameters": {{"a": 1}}}}{}',
]  # fmt: skip
SIZES = (1_000, 10_000, 95_000)
MAX_SECONDS = 0.6  # at 95,000 characters; most take 10 ms
MAX_GROWTH = 40  # from 10,000 to 95,000 characters: 9.5 is linear, 90 quadratic


def seconds(function, *arguments) -> float:
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def check(function, run: str, place: str) -> None:
    """The time of a function of a text does not outgrow the text."""
    _, before, last = (seconds(function, place.format(run * (size // len(run)))) for size in SIZES)
    if last > 0.1:  # once more, in case the machine was busy
        last = min(last, seconds(function, place.format(run * (SIZES[-1] // len(run)))))
    assert last < MAX_SECONDS, (run, place, last)
    assert last < MAX_GROWTH * max(before, 0.01), (run, place, before, last)


@pytest.mark.parametrize("syntax", ["hermes", "pythonic", "json"])
def test_runs_in_an_answer(syntax):
    """Half of the pairs of a run and a place with text beside calls, and half with a think block."""
    rewards = [ToolCallReward(syntax=syntax, allow_text=allow, thinking="optional") for allow in (False, True)]
    for number, (run, place) in enumerate(itertools.product(RUNS, PLACES)):
        thought = "<think>so</think>\n" if number // 2 % 2 else ""
        check(lambda text, reward=rewards[number % 2]: reward.judge(text, CALL, TOOLS), run, thought + place)


@pytest.mark.parametrize("syntax", ["hermes", "pythonic"])
def test_runs_in_a_thought(syntax):
    reward = ToolCallReward(syntax=syntax)
    for run in RUNS:
        check(lambda text: reward.judge(text, CALL, TOOLS), run, "<think>{}</think>[f(a=1)]")


@pytest.mark.parametrize("family", ["qwen3_6", "gptoss", "gemma4", "nemotron_3_nano"])
def test_runs_in_the_native_syntax(tiny_tokenizer, family):
    """The patterns of transformers' templates are quadratic in much of this; the reader keeps it from them."""
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = trl_template(family)
    start, end = {
        "gptoss": ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant"),
        "gemma4": ("<|channel>thought\n", "<channel|>"),
    }.get(family, ("<think>", "</think>"))
    places = [start + "{}", start + "so" + end + "Sure: <{}x", start + "so" + end + "{}"]
    marks = ["to=functions.", "<parameter=a>", "<function=f>", "<|message|>", "<|end|>", "<turn|>", '<|"|>']
    rewards = [ToolCallReward(syntax="native", allow_text=allow).bind(tokenizer) for allow in (False, True)]
    for number, (run, place) in enumerate(itertools.product([*BLANKS[:5], *MARKS[:16], *PIECES, *marks], places)):
        check(lambda text, reward=rewards[number % 2]: reward.judge(text, CALL, TOOLS), run, place)


def test_runs_in_data():
    """Converters see whatever a data set holds."""

    def convert(text):
        for function in (read_named_calls, read_written_calls, lambda text: read_assistant(text, ["f"])):
            with contextlib.suppress(ValueError):
                function(text)

    for run, place in itertools.product(
        RUNS, ["{}", "[f(a='{}')]", '[f(a="{}', '<functioncall>{{"name": "f", "arguments": \'{}']
    ):
        check(convert, run, place)


@pytest.mark.parametrize(
    "number", ["0x" + "f" * 4000, "0o" + "7" * 9000, "0b" + "1" * 20_000, "-0x" + "f" * 4000, "9" * 4301, "1_0" * 3000]
)
@pytest.mark.parametrize("allow_text", [False, True])
def test_integers_that_cannot_be_written(number, allow_text):
    reward = ToolCallReward(syntax="pythonic", allow_text=allow_text)
    for text in (f"[f(a={number})]", f"[f(a=[{number}])]", f"[f(a={{'k': {number}}})]", f"[f(a=1)] {number}"):
        verdict = reward.judge(f"<think>so</think>{text}", CALL, TOOLS)
        assert verdict.score == float(allow_text and text.startswith("[f(a=1)]")), text[:40]
        assert len(repr(verdict)) < 1000
    largest = f"[f(a={'9' * 4300})]"
    assert reward.judge(f"<think>so</think>{largest}", CALL, TOOLS).reason == "wrong_value"
