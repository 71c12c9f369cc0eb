"""Conversations: journalled before they continue, resumed after anything, nothing sampled twice."""

import json
import multiprocessing
import random
import time
from pathlib import Path

import pytest

from egpo_trl.evaluation.evaluate import evaluate
from egpo_trl.sampling.completion import Completion, digest
from egpo_trl.sampling.config import EvaluationConfig
from egpo_trl.sampling.sampler import SamplingStopped, request_seed
from egpo_trl.utils.journal import JournalError
from tests.evaluation.fakes import Arithmetic, CountingSuite

STEPS = 4 * (1 + 2 + 3)


def config(folder, **fields):
    return EvaluationConfig(
        model_name_or_path="m", output_dir=str(folder), **{"temperature": 1.0, "num_samples": 3, **fields}
    )


def scores_of(folder):
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


def test_every_conversation_comes_to_its_end(tmp_path):
    sampler = Arithmetic()
    done = evaluate(CountingSuite(), config(tmp_path), sampler)
    assert sum(sampler.asked.values()) == 3 * STEPS
    assert set(sampler.asked.values()) == {1}
    assert sampler.closed
    scores = scores_of(tmp_path)
    assert [(one["id"], one["sample"]) for one in scores] == [(f"item-{i}", n) for i in range(12) for n in range(3)]
    assert {one["category"] for one in scores} == {"steps 1", "steps 2", "steps 3"}
    assert [row.category for row in done.summary.rows] == ["steps 1", "steps 2", "steps 3", "all"]
    assert done.summary.rows[-1].score == pytest.approx(sum(one["score"] for one in scores) / 36)
    assert sorted(done.summary.pass_at_k) == [1, 2, 3]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["finish_reasons"] == {"stop": 3 * STEPS}
    assert summary["versions"]["transformers"]
    assert "| steps 2 | 4 |" in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize("live", [1, 5, 1024])
def test_how_many_are_under_way_changes_nothing(tmp_path, live):
    evaluate(CountingSuite(), config(tmp_path / "a"), Arithmetic())
    evaluate(CountingSuite(), config(tmp_path / "b", live_conversations=live), Arithmetic())
    assert scores_of(tmp_path / "a") == scores_of(tmp_path / "b")


class OneIsSlow(Arithmetic):
    """Keeps the first request for last, and takes requests that are added meanwhile."""

    def sample(self, requests):
        self.order = []
        answered = 1
        while answered < len(requests):
            self.order.append(requests[answered].row["prompt"])
            yield answered, self.complete(requests[answered])
            answered += 1
        self.order.append(requests[0].row["prompt"])
        yield 0, self.complete(requests[0])


@pytest.mark.parametrize("live", [2, 5, 1024])
def test_no_conversation_waits_for_another(tmp_path, live):
    evaluate(CountingSuite(), config(tmp_path / "a"), Arithmetic())
    sampler = OneIsSlow()
    evaluate(CountingSuite(), config(tmp_path / "b", live_conversations=live), sampler)
    assert sampler.order[-1].startswith("start 0 ")
    assert len(sampler.order) == 3 * STEPS  # one call of the sampler, all others at their end before the slow one
    assert scores_of(tmp_path / "a") == scores_of(tmp_path / "b")


def test_a_run_that_stopped_goes_on(tmp_path):
    evaluate(CountingSuite(), config(tmp_path / "whole"), Arithmetic())
    asked = 0
    for stop_after in (0, 1, 5, 20, 31):
        sampler = Arithmetic(stop_after=stop_after)
        with pytest.raises(
            SamplingStopped, match=r"(?s)went away.*completions are in the journal; run the same command"
        ):
            evaluate(CountingSuite(), config(tmp_path / "a"), sampler)
        asked += sum(sampler.asked.values())
        assert not (tmp_path / "a" / "summary.json").exists()
    last = Arithmetic()
    evaluate(CountingSuite(), config(tmp_path / "a"), last)
    assert asked + sum(last.asked.values()) == 3 * STEPS
    assert scores_of(tmp_path / "a") == scores_of(tmp_path / "whole")
    again = Arithmetic()
    evaluate(CountingSuite(), config(tmp_path / "a"), again)
    assert not again.asked
    more = Arithmetic()  # further samples of a finished run
    evaluate(CountingSuite(), config(tmp_path / "a", num_samples=4), more)
    assert sum(more.asked.values()) == STEPS


def _run(folder: str) -> None:
    class Slow(Arithmetic):
        def sample(self, requests):
            for one in super().sample(requests):
                time.sleep(0.002)
                yield one

    evaluate(CountingSuite(size=60), config(folder), Slow(log=Path(folder).with_suffix(".log")))


def test_kill_minus_nine(tmp_path):
    evaluate(CountingSuite(size=60), config(tmp_path / "whole"), Arithmetic())
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "egpo_trl.evaluation.evaluate", "egpo_trl.reports.before_after"])
    folder, log = tmp_path / "killed", tmp_path / "killed.log"
    choose, kills = random.Random(0), 0
    while True:
        process = context.Process(target=_run, args=(str(folder),))
        process.start()
        process.join(0.4 + 0.4 * choose.random() if kills < 3 else None)
        if process.exitcode is None:
            process.kill()
            process.join()
            kills += 1
        else:
            assert process.exitcode == 0
            break
    assert kills >= 1
    assert scores_of(folder) == scores_of(tmp_path / "whole")
    asked = log.read_text().splitlines()
    assert len(asked) - len(set(asked)) <= kills  # only what was being answered when the kill came
    assert len(set(asked)) == 3 * 5 * STEPS


def test_a_half_written_line_is_cut_off(tmp_path):
    evaluate(CountingSuite(), config(tmp_path), Arithmetic())
    whole = scores_of(tmp_path)
    journal = tmp_path / "completions.jsonl"
    content = journal.read_bytes()
    for cut in (1, 30, len(content.splitlines()[-1]) + 1):
        journal.write_bytes(content[:-cut])
        sampler = Arithmetic()
        evaluate(CountingSuite(), config(tmp_path), sampler)
        assert sum(sampler.asked.values()) == 1
        assert scores_of(tmp_path) == whole
    lines = content.splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:5], b'{"item": "item-1", "sam\n', *lines[6:]]))
    with pytest.raises(JournalError, match=r"line 6 is broken\. Move the file away to sample everything again"):
        evaluate(CountingSuite(), config(tmp_path), Arithmetic())


@pytest.mark.parametrize(
    ("suite", "identity", "message"),
    [
        ({"size": 13}, {}, "size was 12 and is 13"),
        ({}, {"model": "n"}, "model was 'm' and is 'n'"),
        ({}, {"temperature": 0.5}, r"temperature was None and is 0\.5"),
    ],
)
def test_another_run_is_refused(tmp_path, suite, identity, message):
    evaluate(CountingSuite(), config(tmp_path), Arithmetic())
    with pytest.raises(JournalError, match=f"belongs to another run: {message}.*use another"):
        evaluate(CountingSuite(**suite), config(tmp_path), Arithmetic(**identity))


def test_changed_data_and_changed_questions_are_refused(tmp_path):
    evaluate(CountingSuite(), config(tmp_path), Arithmetic())

    class Other(CountingSuite):
        def items(self):
            first, *rest = super().items()
            return [first.__class__(first.id, first.category, {**first.row, "prompt": "else"}), *rest]

    with pytest.raises(JournalError, match="items was"):
        evaluate(Other(), config(tmp_path), Arithmetic())

    class Asks(CountingSuite):
        def conversation(self, item):
            row = yield {"prompt": "something else"}
            return [len(row.text)]

    with pytest.raises(JournalError, match="'item-0', sample 0, asked something else at step 0 before"):
        evaluate(Asks(), config(tmp_path), Arithmetic())


def test_a_sampler_that_leaves_requests_out(tmp_path):
    class Forgetful(Arithmetic):
        def sample(self, requests):
            yield from list(super().sample(requests))[1:]

    with pytest.raises(ValueError, match="left 1 of 36 requests unanswered"):
        evaluate(CountingSuite(), config(tmp_path), Forgetful())


def test_seeds_and_digests():
    seeds = {
        request_seed(seed, item, sample, step)
        for seed in (0, 1)
        for item in "ab"
        for sample in (0, 1)
        for step in (0, 1)
    }
    assert len(seeds) == 16
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert request_seed(0, "a", 1, 12) != request_seed(0, "a", 11, 2)
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": 2})
    with pytest.raises(ValueError, match="finish_reason"):
        Completion("", finish_reason="tired")
