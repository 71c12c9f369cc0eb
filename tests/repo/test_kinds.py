"""One of each kind is added by adding one file: a syntax, a data source, a benchmark, a shaping method."""

import json
import sys
import textwrap

import pytest

from egpo_trl import EGPOConfig, EGPOTrainer
from egpo_trl.data import sources
from egpo_trl.data.sources import detection
from egpo_trl.evaluation import suites
from egpo_trl.tool_calls import syntaxes
from tests.tiny import config, prompts_only, tiny_model

SYNTAX = '''
"""The syntax of nobody."""

from egpo_trl.tool_calls.syntax import Form, Syntax, framed

_READ, _WRITE = framed(Form("<<{call}>>", arguments_key="parameters"))

SYNTAX = Syntax("nobody", _READ, _WRITE, marks=("<<",))
'''

SOURCE = '''
"""Nobody's data: `ask` and `want`."""

from egpo_trl.data.sources.conversation import Conversation
from egpo_trl.data.sources.messages import add_answers

FIELDS = ("ask", "want")
RENAMED = {"messages": "ask"}


def recognise(record):
    return "it has `ask` and `want`" if {"ask", "want"} <= set(record) else None


def convert_record(record):
    conversation = Conversation(record["functions"], "ask")
    conversation.add_text("user", record["ask"])
    add_answers(conversation, record["want"], "want")
    return conversation.rows()
'''

SUITE = '''
"""two questions of nobody"""

from dataclasses import dataclass
from typing import ClassVar

from egpo_trl.evaluation.records import Item, Scored
from egpo_trl.evaluation.suite import Suite


@dataclass
class Nobody(Suite):
    name: ClassVar[str] = "nobody"

    def items(self):
        return [Item(f"q{at}", "all", {"prompt": [{"role": "user", "content": "?"}], "tools": "[]"}) for at in range(2)]

    def score(self, samples):
        return [Scored(sample.item.id, sample.item.category, sample.number, 1.0, "correct") for sample in samples]


SUITE = Nobody
'''


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Adds a module to a package of the library, as a file of its folder would be."""

    def add(package, name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}", raising=False)

    return add


def test_a_syntax(added):
    added(syntaxes, "nobody", SYNTAX)
    found = syntaxes.find_syntaxes()
    call = found["nobody"].read('<<{"name": "f", "parameters": {"a": 1}}>>').calls[0]
    assert (call.name, call.arguments) == ("f", {"a": 1})
    assert found["nobody"].write([call]) == '<<{"name": "f", "parameters": {"a": 1}}>>'


def test_a_source(added, tmp_path, monkeypatch):
    added(sources, "nobody", SOURCE)
    monkeypatch.setattr(detection, "SOURCES", detection.discover(sources.__path__))
    monkeypatch.setattr(sources, "SOURCES", detection.SOURCES)
    function = {
        "name": "f",
        "description": "F.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    }
    tool = {"type": "function", "function": function}
    record = {"ask": "one?", "want": [{"name": "f", "arguments": {"a": 1}}], "functions": [tool]}
    file = tmp_path / "records.jsonl"
    file.write_text(json.dumps(record) + "\n", encoding="utf-8")
    conversion = sources.convert(str(file))
    (row,) = conversion
    assert json.loads(row["reference"]) == [{"name": "f", "arguments": {"a": 1}}]
    assert conversion.found == {"nobody": "it has `ask` and `want`"}


def test_a_benchmark(added, tmp_path):
    added(suites, "nobody", SUITE)
    assert suites.find_suites()["nobody"] == "two questions of nobody"
    from importlib import import_module

    suite = import_module("egpo_trl.evaluation.suites.nobody").SUITE()
    assert [item.id for item in suite.items()] == ["q0", "q1"]


def test_a_shaping_method(tmp_path, tiny_tokenizer):
    class Doubled(EGPOTrainer):
        def shape_advantages(self, advantages, entropies, cot_mask, logps):
            return 2 * advantages

    losses = []
    for cls in (EGPOTrainer, Doubled):
        args = config(tmp_path / cls.__name__, EGPOConfig, max_steps=1, egpo_lambda=0.0, optim="sgd")

        def reward(completion_ids, **_):
            return [float(sum(ids) % 2) for ids in completion_ids]

        trainer = cls(tiny_model(tiny_tokenizer), reward, args, prompts_only(8), processing_class=tiny_tokenizer)
        trainer.train()
        losses.append(next(log["grad_norm"] for log in trainer.state.log_history if "grad_norm" in log))
    assert losses[1] == pytest.approx(2 * losses[0], rel=1e-4)
