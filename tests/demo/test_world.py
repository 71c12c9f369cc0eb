"""The embedded world: reproducible, disjoint splits, references that satisfy their own schemas."""

import json
import random
import subprocess
import sys
from collections import Counter

import jsonschema
import pytest
from demonstrations import SHIPPED, demonstrate, render_call

from egpo_trl import ToolCallReward
from egpo_trl.demo.world import KINDS, TOOLS, make_queries, make_rows


def test_rows_come_from_the_seed_alone():
    code = "from egpo_trl.demo.world import make_rows; import json, zlib; print(zlib.crc32(json.dumps(make_rows(300)).encode()))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert make_rows(50, seed=1) != make_rows(50, seed=2)


def test_splits_share_no_query():
    train = {row["prompt"][0]["content"] for seed in range(3) for row in make_rows(3000, seed, "train")}
    test = {row["prompt"][0]["content"] for seed in range(3) for row in make_rows(1000, seed, "test")}
    assert not train & test
    with pytest.raises(ValueError, match="split must be"):
        make_rows(1, split="dev")


def test_rows_are_canonical_and_right():
    kinds = Counter()
    for row in make_rows(1000, 3, "test"):
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in json.loads(row["tools"])}
        reference = json.loads(row["reference"])
        assert len(schemas) == 3
        assert len(reference) == {"no tool": 0, "two calls": 2}.get(row["kind"], 1)
        for call in reference:
            jsonschema.validate(call["arguments"], {**schemas[call["name"]], "additionalProperties": False})
            text = row["prompt"][0]["content"]
            assert all(str(value) in text for value in call["arguments"].values() if not isinstance(value, bool))
        kinds[row["kind"]] += 1
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) > 80


def test_every_type_of_parameter_is_there():
    schemas = [schema for tool in TOOLS for schema in tool.parameters.values()]
    assert {schema["type"] for schema in schemas} == {"string", "integer", "number", "boolean"}
    assert any("enum" in schema for schema in schemas)
    assert any(len(tool.required) < len(tool.parameters) for tool in TOOLS)


def test_perfect_answers_are_right_and_demonstrations_are_not_always():
    reward = ToolCallReward(syntax="hermes")
    rng = random.Random(0)
    right = Counter()
    for query in make_queries(600, 0, "train"):
        row = query.row("x")
        calls = "\n".join(render_call(request.tool.name, request.arguments) for request in query.requests)
        perfect = f"<think>so</think>\n\n{calls or 'No listed tool fits this request.'}"
        assert reward.judge(perfect, row["reference"], row["tools"]).score == 1.0
        right[reward.judge(demonstrate(rng, query), row["reference"], row["tools"]).score] += 1
    assert len(SHIPPED.styles) == 3
    assert 0.4 < right[1.0] / 600 < 0.8
