"""The corpus of hostile completions: each has its expected state and reason, and a bounded time."""

import json
import time
from pathlib import Path

import pytest

from egpo_trl import ToolCallReward
from egpo_trl.tool_calls.completions import SYNTAXES

TOOLS = json.dumps([{"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}}}])
REFERENCES = {"call": '[{"name": "f", "arguments": {"a": 1}}]', "text": "[]"}
CORPUS = [json.loads(line) for line in (Path(__file__).parent / "adversarial.jsonl").read_text("utf-8").splitlines()]


def completion_of(case: dict) -> str:
    """The completion of a case: pieces, or pairs of a piece and how often it stands there."""
    return "".join(part if isinstance(part, str) else part[0] * part[1] for part in case["parts"])


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: f"{case['syntax']}: {case['name']}")
def test_state_and_reason(case):
    verdict = ToolCallReward(syntax=case["syntax"]).judge(completion_of(case), REFERENCES[case["reference"]], TOOLS)
    assert (verdict.state, verdict.reason) == (case["state"], case["reason"])
    assert verdict.score == float(case["reason"] == "correct")


def test_every_option_survives_the_corpus():
    for case in CORPUS:
        text = completion_of(case)
        for syntax in (*SYNTAXES, "auto"):
            for options in ({"allow_text": True}, {"thinking": "optional"}, {"comparison": "bfcl", "thinking": "off"}):
                start = time.process_time()
                verdict = ToolCallReward(syntax=syntax, **options).judge(text, REFERENCES["call"], TOOLS)
                assert verdict.score in (0.0, 1.0)
                assert time.process_time() - start < 1.0  # no hang; the speed itself is measured in benchmarks/
