"""Answers where no call is right: a corpus of honest texts and of calls in every dialect, and both error rates.

A line of `answers.jsonl` holds a text, the functions on offer, and whether it is an honest text (`right`). It counts in
every syntax, unless it names one.
"""

import json
from pathlib import Path

import pytest

from egpo_trl import ToolCallReward

CORPUS = [json.loads(line) for line in (Path(__file__).parent / "answers.jsonl").read_text("utf-8").splitlines()]
SYNTAXES = ("hermes", "pythonic", "json", "auto")

# Wrong on purpose, each with the price of the rule that decides it.
KNOWN = {
    "I will call get_weather(city) now.": 1.0,  # a signature in a sentence is a mention
    "Use get_weather(Paris), as I said.": 0.0,  # a value in parentheses is a call
    'To write it yourself: `def get_weather(city="Paris"): ...`': 0.0,  # so is code that defines an offered name
    "If f(2) = 4, then f is not injective.": 0.0,  # maths with the name of an offered function
    "get_weather: the old town of Paris": 1.0,  # three words or more after a name and a colon describe it
    "get_weather: Paris": 0.0,
    "get_weather:\n  city: |\n    Paris\n    and Rome": 1.0,  # a YAML value over several lines looks like a text
    "get_weather": 1.0,  # a name alone calls nothing
    "Werkzeug: f\nStadt: Paris": 1.0,  # a function named by one word is looked for under English and Chinese labels
}


def scores(text: str, names: list[str], syntax: str) -> set[float]:
    tools = json.dumps([{"name": name, "parameters": {"type": "object"}} for name in names])
    rewards = (ToolCallReward(syntax=syntax, allow_text=allow_text) for allow_text in (False, True))
    return {reward.judge(f"<think>so</think>\n{text}", "[]", tools).score for reward in rewards}


def test_the_corpus_is_large():
    for right in (True, False):
        assert len({row["text"] for row in CORPUS if row["right"] is right}) >= 300


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(("right", "what"), [(True, "honest texts that get 0"), (False, "calls that are paid")])
def test_error_rate(syntax, right, what):
    rows = [row for row in CORPUS if row["right"] is right and row.get("syntax", syntax) == syntax]
    wrong = [row for row in rows if scores(row["text"], row["tools"], syntax) != {float(right)}]
    print(f"\n{syntax}: {len(wrong)} of {len(rows)} {what}")
    assert not wrong


@pytest.mark.parametrize("text", KNOWN)
def test_known_exceptions(text):
    assert scores(text, ["get_weather", "f"], "hermes") == {KNOWN[text]}


@pytest.mark.parametrize("family", ["qwen3_6", "glm4moe", "gemma4"])
def test_the_native_syntax_decides_the_same(tiny_tokenizer, family):
    """Its reader takes another way to the same decision."""
    from tests.tool_calls.test_native import with_template

    tokenizer = with_template(tiny_tokenizer, family)
    reward = ToolCallReward(syntax="native").bind(tokenizer)
    starts, ends = {"gemma4": ("<|channel>thought\n", "<channel|>")}.get(family, ("<think>", "</think>"))
    start = "" if reward.generation_prompt.rstrip().endswith(starts.strip()) else starts
    for row in CORPUS:
        if "syntax" in row:
            continue
        tools = json.dumps([{"name": name, "parameters": {"type": "object"}} for name in row["tools"]])
        verdict = reward.judge(f"{start}so{ends}{row['text']}", "[]", tools)
        assert verdict.score == float(row["right"]), (row, verdict)


def test_through_the_trainer(tmp_path, tiny_tokenizer):
    """What a training run pays where no call is right."""
    from tests.scripted import Turn, chatml, scripted_trainer

    said = {
        "[1] says so, [main()](https://x.y) too.": 1.0,
        "get_weather is not for this.": 1.0,
        "Action: get_weather": 0.0,
        "\u200b": 0.0,
    }
    tools = json.dumps(
        [{"name": "get_weather", "description": "d", "parameters": {"type": "object", "properties": {}}}]
    )
    row = {"prompt": [{"role": "user", "content": "hi"}], "reference": "[]", "tools": tools}
    dialect = chatml(tiny_tokenizer, "qwen3")
    scripts = [[Turn("so", text)] for text in said]
    trainer = scripted_trainer(
        tmp_path, dialect, scripts, rows=[row], reward=ToolCallReward(), max_completion_length=128
    )
    trainer.train()
    assert list(trainer._logs["rewards"]["tool_call_reward"])[:4] == list(said.values())
