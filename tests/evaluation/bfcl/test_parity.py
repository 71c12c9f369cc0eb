"""The same result files, scored by the official command and by the suite."""

import csv
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from egpo_trl.evaluation.bfcl.categories import CATEGORIES, GROUPS
from tests.evaluation.bfcl.gold import begin, drive, gold_texts, hermes, pythonic
from tests.tool_calls.test_bfcl_matching import change


def wrong(calls, rng):
    """Calls with something changed, left out, or too much."""
    changed = [(name, dict(arguments)) for name, arguments in calls]
    name, arguments = rng.choice(changed)
    kind = rng.randrange(7)
    if kind == 0 and arguments:
        key = rng.choice(sorted(arguments))
        arguments[key] = change(arguments[key], rng)
    elif kind == 1 and arguments:
        del arguments[rng.choice(sorted(arguments))]
    elif kind == 2:
        arguments["another_argument"] = 1
    elif kind == 3:
        changed.append((name, {"again": [1, None, {"a": 2.5}]}))
    else:
        changed[0] = ("another_function", changed[0][1])
    return changed


MALFORMED = (
    "",
    "I cannot help with that.",
    '<tool_call>\n{"name": "f", "arguments": {}\n</tool_call>',  # broken JSON
    '<tool_call>{"name": "f", "arguments": {}}</tool_call>',  # no new lines
    '<tool_call>\n{"name": "f", "arguments": "{\\"a\\": 1}"}\n</tool_call>',  # arguments as a string
    '<tool_call>\n{"name": "f", "arguments": [1]}\n</tool_call>',
    '<tool_call>\n{"name": ["f"], "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"arguments": {}}\n</tool_call>',
    '<tool_call>\n["f"]\n</tool_call>',
    "<tool_call>\n[]\n</tool_call>",
    '<tool_call>\n{"name": "f", "arguments": {"a": NaN, "b": Infinity}}\n</tool_call>',
    '<tool_call>\n{"name": "unclosed", "arguments": {}}',
    '<tool_call>\n{"name": "f", "name": "g", "arguments": {"x y": 1}}\n</tool_call>',
    '<tool_call>\n{"name": "a.b-c", "arguments": {"class": 1}}\n</tool_call>',
    "[f(a=1), g(b='x')]",
    "[f(a=[1, 2, {'k': (1, 2)}], b=-1.5, c=1+2, d=True, e=None, f=some_name)]",
    "[f(1, 2), g()]",
    "f(a=1)",
    "```\n[f(a=1)]\n```",
    "[f(a=g(b=1)), h(c={'x': {'y': 1}})]",
    "[f(a=1), 5]",
    "[f(a='\ud83d')]",
    "[[f(a=1)]]",
    "[]",
)


def mixed(text, calls, write, rng):
    """A right completion, or a wrong or malformed one; some stand behind a thought."""
    kind = rng.randrange(7)
    if kind == 0:
        text = rng.choice(MALFORMED)
    elif kind == 1 and calls:
        text = write(wrong(calls, rng))
    elif kind == 1:
        text = write([("some_function", {"a": 1})])
    elif kind == 2:
        text = f"Here you are:\n{text}\nAnything else?"
    if rng.random() < 0.2:
        text = f"<think>\nI could {write([('first', {'a': 1})])}\n</think>\n\n{text}"
    return text


def read_calls(text):
    blocks = text.split("<tool_call>\n")[1:]
    return [
        (call["name"], call["arguments"])
        for call in (json.loads(block.split("\n</tool_call>")[0]) for block in blocks)
    ]


def official_command(folder: Path, handler: str) -> None:
    command = [sys.executable, "-m", "egpo_trl.evaluation.bfcl.official_cli", str(folder), "--handler", handler]
    done = subprocess.run(
        [*command, "evaluate", "--partial-eval"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def read_scores(folder: Path):
    found = {}
    for file in sorted((folder / "score").rglob("BFCL_v4_*_score.json")):
        header, *failed = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
        found[file.name] = (header, {entry["id"]: reason_of(entry) for entry in failed})
    return found


def read_table(file: Path) -> dict[str, str]:
    with file.open(newline="") as lines:
        (row,) = csv.DictReader(lines)
    return row


def reason_of(entry):
    return entry.get("error_type") or entry["error"]["error_type"]


@pytest.mark.parametrize(
    ("handler", "most"),
    [
        ("fc", 12),
        ("prompting", 12),
        pytest.param("fc", None, marks=pytest.mark.slow),
        pytest.param("prompting", None, marks=pytest.mark.slow),
    ],
)
def test_scores_equal_those_of_the_official_command(tmp_path, handler, most, entries, plain_entries):
    suite = begin(categories="all", bfcl_handler=handler, max_per_category=most)
    items = suite.items()
    rng, samples, write = random.Random(5), [], {"fc": hermes, "prompting": pythonic}[handler]
    for item in items:
        texts = []
        for text in gold_texts(entries[item.id], plain_entries[item.id], hermes):
            calls = read_calls(text)
            texts.append(mixed(write(calls) if calls else text, calls, write, rng))
        samples.append(drive(suite, item, texts))
    scored = suite.score(samples, tmp_path / "ours")
    ours = read_scores(tmp_path / "ours")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours" / "result").rename(tmp_path / "theirs" / "result")
    official_command(tmp_path / "theirs", handler)
    theirs = read_scores(tmp_path / "theirs")
    assert ours.keys() == theirs.keys() == {f"BFCL_v4_{category}_score.json" for category in CATEGORIES}
    for name, score in theirs.items():
        assert ours[name] == score
    rows = {row.category: row.score for row in suite.summarize(scored).rows}
    leaderboard = read_table(tmp_path / "theirs" / "score" / "data_overall.csv")
    for column, row, share in (
        ("Overall Acc", "v4 overall without agentic", 0.6),  # the agentic categories count as 0 there
        ("Non-Live AST Acc", "v4 non-live", 1),
        ("Live Acc", "v4 live", 1),
        ("Multi Turn Acc", "multi-turn", 1),
        ("Relevance Detection", "live_relevance", 1),
        ("Irrelevance Detection", "v4 irrelevance", 1),
    ):
        assert leaderboard[column] == f"{100 * share * rows[row]:.2f}%", column
    for group in ("non_live", "live", "multi_turn"):
        reasons = Counter(one.reason for one in scored if one.category in GROUPS[group])
        assert reasons["correct"] > 0  # right ones, and several ways to be wrong
        assert len(reasons) >= 4
