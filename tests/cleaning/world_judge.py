"""A scripted judge that knows the right answers of the embedded world."""

import json
import re
from collections import Counter
from typing import Any

from egpo_trl.cleaning import Reply
from egpo_trl.demo.world import NO_TOOL_ANSWER, make_rows


def question(row: dict[str, Any]) -> str:
    return row["prompt"][-1]["content"]


def verdict_text(correct: bool, corrected: Any = None, reason: str = "because") -> str:
    return json.dumps({"correct": correct, "reason": reason, "corrected": corrected})


def read_question(messages: list[dict[str, str]]) -> tuple[str, Any]:
    """The query and the answer that a question of the packaged prompt asks about; text answers are `[]`."""
    text = messages[-1]["content"]
    (conversation,) = re.findall(r"<conversation>\n(.*)\n</conversation>", text, re.DOTALL)
    (answer,) = re.findall(r"<answer>\n(.*)\n</answer>", text, re.DOTALL)
    return json.loads(conversation)["content"], [] if "text, no call" in answer else json.loads(answer)


class Truth:
    """Right answers by query."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.answers = {question(row): json.loads(row["reference"]) for row in rows}

    def verdict(self, query: str, answer: Any) -> str:
        right = self.answers[query]
        if answer == right:
            return verdict_text(True)
        return verdict_text(False, right or NO_TOOL_ANSWER, "the call is wrong")


class ScriptedJudge:
    """Answers at once, in this process; counts how often it was asked what."""

    def __init__(self, truth: Truth) -> None:
        self.identity = {"judge": "scripted"}
        self.truth = truth
        self.asked: Counter[str] = Counter()
        self.closed = False

    async def ask(self, messages, seed) -> Reply:
        query, answer = read_question(messages)
        self.asked[f"{query} {json.dumps(answer)}"] += 1
        return Reply(self.truth.verdict(query, answer), 10)

    async def close(self) -> None:
        self.closed = True


def corrupted_rows(count: int, every: int = 3) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the world, and the same with each third one wrong."""
    right = make_rows(count)
    wrong = [dict(row) for row in right]
    for index in range(0, count, every):
        calls = json.loads(wrong[index]["reference"])
        wrong[index]["reference"] = json.dumps(
            [] if calls else [{"name": "get_weather", "arguments": {"city": "Oslo"}}]
        )
    return right, wrong


def no_unknown_function(row) -> str | None:
    """A small AST evaluation for tests."""
    names = {tool["function"]["name"] for tool in json.loads(row["tools"])}
    calls = json.loads(row["reference"])
    return next(("unknown_function" for call in calls if call["name"] not in names), None)
