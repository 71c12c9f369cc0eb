"""The runner of the study: it survives kill -9 of itself and of its runs, and never repeats or loses a row."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.study import runner
from benchmarks.study.design import ARMS
from benchmarks.study.store import Store

ROOT = Path(__file__).parents[2]

# A run that takes a moment, notes that it began, and leaves a score; the runner is the real one.
FAKE = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from benchmarks.study import runner
from benchmarks.study.order import Run
from benchmarks.study.store import Store
runner.commit = lambda: "abc"
runner.PAUSE = 0.02
store = Store(Path({results!r}), Path({work!r}))
def train(run, rate, seconds, work):
    with (work / "began").open("a") as file:
        file.write(run.name + "\\n")
    time.sleep({seconds})
    if run.name in {broken!r}:
        raise SystemExit("boom")
    score = dict(exact_t1=0.5, train_seconds=1.0)
    return score, dict(reward=[0.25, None], cot_entropy=[0.5, 0.25], cot_length=[3.0, 4.0])
if sys.argv[1] == "one":
    fields, rate, seconds = json.loads(sys.argv[2])
    sys.exit(runner.do_one(Run(**fields), rate, seconds, store, train))
def command(store, run, rate, seconds):
    from dataclasses import asdict
    return [sys.executable, __file__, "one", json.dumps([asdict(run), rate, seconds])]
runner.run_all(store, 2, int(sys.argv[2]), command)
"""


@pytest.fixture
def study(tmp_path):
    def write(seconds=0.0, broken=()):
        script = tmp_path / "fake.py"
        names = {"results": str(tmp_path / "results"), "work": str(tmp_path / "work"), "root": str(ROOT)}
        script.write_text(FAKE.format(seconds=seconds, broken=tuple(broken), **names))
        return script

    store = Store(tmp_path / "results", tmp_path / "work")
    return store, write


def start(script, most):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    return subprocess.Popen(
        [sys.executable, str(script), "run", str(most)], env=environment, stdout=subprocess.DEVNULL
    )


def rows_of(store):
    with (store.results / "runs.csv").open() as file:
        return list(csv.DictReader(file))


def began(store):
    return (store.work / "began").read_text().split()


def test_finished_runs_are_not_repeated_and_each_has_one_row(study):
    store, write = study
    script = write()
    assert start(script, 3).wait(60) == 0
    assert start(script, 3).wait(60) == 0
    rows = rows_of(store)
    assert len(rows) == len({row["run"] for row in rows}) == 6
    assert sorted(began(store)) == sorted(row["run"] for row in rows)
    curves = (store.results / "curves.csv").read_text().splitlines()
    assert len(curves) == 7
    assert curves[1].endswith(",0.25 ,0.5 0.25,3 4")


def test_kill_9_of_the_runner_loses_and_duplicates_nothing(study):
    store, write = study
    script = write(seconds=0.6)
    for _ in range(3):
        process = start(script, 2)
        deadline = time.monotonic() + 30
        count = len(began(store)) if (store.work / "began").exists() else 0
        while (not (store.work / "began").exists() or len(began(store)) == count) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(write(), 4).wait(120) == 0
    rows = rows_of(store)
    assert len(rows) == len({row["run"] for row in rows}) >= 4
    assert {row["run"] for row in rows} == {file.stem for file in (store.work / "runs").glob("*.json")}
    assert len(began(store)) == len(set(began(store)))  # a run that outlived its runner was not started again


def test_a_run_that_fails_twice_is_listed_with_its_error(study):
    store, write = study
    name = "tuning-single_turn-grpo-0.0001-w0-s101"
    assert start(write(broken=[name]), 6).wait(60) == 0  # enough starts for its second try, whichever run ends first
    row = next(row for row in rows_of(store) if row["run"] == name)
    assert row["error"] == "boom"
    assert row["exact_t1"] == ""
    assert began(store).count(name) == runner.TRIES


def test_two_runners_do_not_work_at_once(study):
    store, write = study
    first = start(write(seconds=1.0), 2)
    while not (store.work / "began").exists():
        time.sleep(0.02)
    assert start(write(seconds=1.0), 1).wait(60) == 1
    assert first.wait(60) == 0


def test_runs_of_another_commit_are_an_error(tmp_path):
    store = Store(tmp_path / "results", tmp_path / "work")
    row = {
        "run": "a",
        "stage": "tuning",
        "task": "single_turn",
        "arm": next(iter(ARMS)),
        "commit": "old",
        "finished_at": "",
    }
    store.file_of("a").parent.mkdir(parents=True)
    store.file_of("a").write_text(json.dumps({"row": row, "curves": {}}))
    with pytest.raises(SystemExit, match="single_turn old"):
        runner.check_commit(store, "new")
