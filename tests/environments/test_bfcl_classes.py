"""BFCL's official API classes as environments, in a process of their own, and our reward beside the official checker."""

import ast
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from egpo_trl import ToolCallReward, TrajectoryReward
from egpo_trl.environments.replay import parse_trajectory, replay
from egpo_trl.environments.trajectories import trajectory_problem
from tests.conftest import package_dir
from tests.environments.bfcl_worker import SOURCES
from tests.rewards.test_trajectory import play

DATA = package_dir("bfcl_eval") / "data"
MULTI_TURN = [json.loads(line) for line in (DATA / "BFCL_v4_multi_turn_base.json").read_text().splitlines()]
TRUTH = [json.loads(line) for line in (DATA / "possible_answer/BFCL_v4_multi_turn_base.json").read_text().splitlines()]
_JSON_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
_KEYS = itertools.count()


class Worker:
    """The process, started once."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "BFCL_PROJECT_ROOT": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("bfcl_worker.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
            cwd=folder,
        )  # fmt: skip

    def ask(self, do: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A function document of BFCL as JSON schema."""
    schema = {name: value for name, value in schema.items() if name != "response"}
    if schema.get("type") in _JSON_TYPES:
        schema["type"] = _JSON_TYPES[schema["type"]]
    return {name: json_schema(value) if isinstance(value, dict) else value for name, value in schema.items()}


DOCUMENTS = {
    name: {
        document["name"]: json_schema(document)
        for document in map(json.loads, (DATA / f"multi_turn_func_doc/{source}.json").read_text().splitlines())
    }
    for name, source in SOURCES.items()
}


def official_environment(worker: Worker, classes: tuple[str, ...]) -> type:
    """An environment whose methods forward to instances of official classes in the worker."""
    documents = {name: document for one in classes for name, document in DOCUMENTS[one].items()}

    def reset(self: Any, initial_config: str, earlier: str = "[]", **_: Any) -> None:
        self.key = str(next(_KEYS))
        worker.ask("reset", key=self.key, classes=list(classes), config=json.loads(initial_config))
        for call in json.loads(earlier):
            worker.ask("call", key=self.key, **call)

    def forward(name: str) -> Any:
        def method(self: Any, **arguments: Any) -> str:
            return str(worker.ask("call", key=self.key, name=name, arguments=arguments))

        method.__name__ = name
        return method

    members: dict[str, Any] = {name: forward(name) for name in documents}
    members |= {"reset": reset, "state": property(lambda self: worker.ask("state", key=self.key))}
    return type("OfficialClasses", (), {**members, "tool_schemas": documents})


def read_call(text: str, documents: dict[str, Any]) -> dict[str, Any]:
    """A call of a ground truth, positional arguments by name."""
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    names = list(documents[call.func.id]["parameters"]["properties"])
    given = dict(zip(names, call.args, strict=False)) | {str(keyword.arg): keyword.value for keyword in call.keywords}
    return {"name": call.func.id, "arguments": {name: ast.literal_eval(value) for name, value in given.items()}}


def rows_of(entry: dict[str, Any], truth: list[list[str]]) -> list[dict[str, Any]]:
    """One row for each turn of the user; it starts from what the reference has done before."""
    classes = tuple(entry["involved_classes"])
    documents = {name: document for one in classes for name, document in DOCUMENTS[one].items()}
    rows, earlier = [], []
    for turn, calls in enumerate(truth):
        read = [read_call(call, documents) for call in calls]
        rows.append(
            {
                "prompt": entry["question"][turn],
                "tools": json.dumps([{"type": "function", "function": document} for document in documents.values()]),
                "environment": ",".join(classes),
                "initial_config": json.dumps(entry["initial_config"]),
                "earlier": json.dumps(earlier),
                "trajectory": json.dumps([*([call] for call in read), []]),
                "id": f"{entry['id']}#{turn}",
            }
        )
        earlier = earlier + read
    return rows


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    worker = Worker(tmp_path_factory.mktemp("bfcl"))
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def environments(worker):
    return {
        ",".join(classes): official_environment(worker, classes)
        for classes in {tuple(entry["involved_classes"]) for entry in MULTI_TURN}
    }


def text_of(call: dict[str, Any]) -> str:
    return f"{call['name']}({', '.join(f'{name}={value!r}' for name, value in call['arguments'].items())})"


def rollout(row, calls, factory):
    """Messages of a rollout with one call a step, and its environment."""
    turns = [((call["name"], call["arguments"]),) for call in calls]
    return play(*turns, "<think>done</think>Done.", row=row, factory=factory)


def variants(calls: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {
        "gold": calls,
        "first left out": calls[1:],
        "last left out": calls[:-1],
        "first twice": [*calls[:1], *calls],
        "backwards": calls[::-1],
    }


ENTRIES = list(range(0, 200, 5))


def test_official_references_replay(environments):
    rows = [row for at in ENTRIES for row in rows_of(MULTI_TURN[at], TRUTH[at]["ground_truth"])]
    assert len(rows) > 100
    assert not any(trajectory_problem(row, environments) for row in rows)
    assert {name for row in rows for name in row["environment"].split(",")} == set(SOURCES)


def compare(worker, environments, entries) -> list[tuple[str, str, bool, bool]]:
    """Our verdict and the official one on five rollouts of the last turn of each conversation."""
    reward = TrajectoryReward(environments, ToolCallReward(syntax="hermes"))
    verdicts = []
    for at in entries:
        entry, truth = MULTI_TURN[at], TRUTH[at]["ground_truth"]
        *before, row = rows_of(entry, truth)
        calls = [call._asdict() for step in parse_trajectory(row["trajectory"]) for call in step]
        gold = [[[text_of(call)] for (call,) in json.loads(one["trajectory"])[:-1]] for one in before]
        for name, variant in variants(calls).items():
            messages, environment = rollout(row, variant, environments[row["environment"]])
            ours = reward.judge(messages, row, environment)
            turns = [*gold, [[text_of(call)] for call in variant]]
            model = f"{entry['id']}_{name}".replace(" ", "_")  # the official executor keeps its state by this name
            official = worker.ask("check", entry=entry, turns=turns, truth=truth, model=model)
            verdicts.append((entry["id"], name, bool(ours.score), official))
    return verdicts


def test_our_reward_agrees_with_the_official_checker(worker, environments):
    verdicts = compare(worker, environments, ENTRIES)
    assert len(verdicts) == 200
    assert all(ours and official for _, name, ours, official in verdicts if name == "gold")
    assert [one for one in verdicts if one[2] != one[3]] == []
    assert sum(official for *_, official in verdicts) == 101


@pytest.mark.slow
def test_our_reward_agrees_on_every_conversation(worker, environments):
    """But for one: the official checker counts the results of earlier turns too, ours those of the rollout."""
    verdicts = compare(worker, environments, range(len(MULTI_TURN)))
    assert len(verdicts) == 1000
    assert [one for one in verdicts if one[2] != one[3]] == [("multi_turn_base_113", "first left out", False, True)]
    rows = rows_of(MULTI_TURN[113], TRUTH[113]["ground_truth"])
    (added,), (listed, *_) = (replay(environments[row["environment"]], row).results[:-1] for row in rows)
    assert added == listed  # adding to the watch list gave the whole list, in the turn before
