"""An evaluation: scores of what cannot be scored, notes, and what a suite may not do."""

import json

import pytest

from egpo_trl.evaluation.evaluate import evaluate
from egpo_trl.evaluation.records import Scored
from egpo_trl.sampling.config import EvaluationConfig
from tests.evaluation.fakes import Arithmetic, CountingSuite


def config(folder):
    return EvaluationConfig(model_name_or_path="m", output_dir=str(folder), temperature=1.0, num_samples=3)


def scores_of(folder):
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


def test_what_is_not_sampled_is_worth_nothing(tmp_path):
    sampler = Arithmetic(refuse="start 4 ")
    done = evaluate(CountingSuite(broken="item-2"), config(tmp_path), sampler)
    scores = {(one["id"], one["sample"]): one for one in scores_of(tmp_path)}
    for sample in range(3):
        assert scores["item-4", sample]["score"] == scores["item-2", sample]["score"] == 0
        assert scores["item-4", sample]["reason"] == "prompt_too_long"
        assert scores["item-2", sample]["reason"] == "conversation_failed"
    notes = " ".join(done.summary.notes)
    assert "3 prompts are longer than the model's context: not sampled, worth 0" in notes
    assert "3 conversations failed, worth 0. The first: KeyError: 'what the model wrote'" in notes


def test_what_a_suite_may_not_do(tmp_path):
    class Forgets(CountingSuite):
        def score(self, samples, output_dir):
            return super().score(samples, output_dir)[1:]

    class Repeats(CountingSuite):
        def score(self, samples, output_dir):
            return super().score([*samples, samples[0]], output_dir)

    class Exaggerates(CountingSuite):
        def score(self, samples, output_dir):
            return [Scored(s.item.id, "", s.number, 7.0, "") for s in samples]

    class Empty(CountingSuite):
        def items(self):
            return []

    class Twice(CountingSuite):
        def items(self):
            return super().items() * 2

    class Mute(CountingSuite):
        def conversation(self, item):
            return
            yield

    for number, (kind, message) in enumerate(
        (
            (Forgets, "did not judge sample"),
            (Repeats, "twice"),
            (Exaggerates, "not between 0 and 1"),
            (Empty, "is empty"),
            (Twice, "several items under the id 'item-0'"),
            (Mute, "asks nothing"),
        )
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(kind(), config(tmp_path / str(number)), Arithmetic())
