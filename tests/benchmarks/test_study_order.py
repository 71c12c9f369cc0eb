"""The order of the study: tuning, the choice of the knobs by the rule of the plan, then balanced blocks."""

from collections import Counter

import pytest

from benchmarks.study.design import ARMS, BASE, MAIN, SUPERVISED, TASKS, TUNING_PAIRS, warm_start_of
from benchmarks.study.order import blocks, chosen_value, known_runs, total_runs, tuning_runs, waiting_runs


def finished(score=lambda run: 0.5, most=10**9):
    """Do the runs in the order of the study."""
    rows, order = {}, []
    while len(rows) < most and (waiting := waiting_runs(rows)):
        run = waiting[0]
        order.append(run)
        rows[run.name] = {"exact_t1": str(score(run)), "train_seconds": "1"}
    return rows, order


def test_the_plan_s_numbers():
    _, order = finished()
    assert len(order) == total_runs() == 48 + 288
    assert len({run.name for run in order}) == len(order)
    fresh = [run for run in order if run.stage == "fresh"]
    for task, size in TASKS.items():
        for arm in ARMS:
            runs = [run for run in fresh if (run.task, run.arm) == (task, arm)]
            assert len(runs) == size.pairs
            assert set(Counter(run.warm_start for run in runs).values()) == {size.pairs // size.warm_starts}
    assert not {seed for _, seed in TUNING_PAIRS} & {run.seed for run in fresh}


def test_whatever_is_finished_is_balanced():
    _, order = finished()
    fresh = [run for run in order if run.stage == "fresh"]
    for begin in range(0, len(fresh), len(ARMS)):
        block = fresh[begin : begin + len(ARMS)]
        assert len({(run.task, run.warm_start, run.seed) for run in block}) == 1
        assert {run.arm for run in block} == set(ARMS)
    assert [task for task, _ in blocks()[:8]] == [MAIN] * 8


def test_the_base_is_tuned_first_and_supervised_runs_wait_for_its_time():
    _, order = finished(most=6)
    assert {run.arm for run in order} == {BASE}
    _, order = finished()
    for run in (run for run in order if run.arm == SUPERVISED):
        before = order[: order.index(run)]
        assert any(
            one.arm == BASE and (one.task, one.warm_start, one.seed) == (run.task, run.warm_start, run.seed)
            for one in before
        )


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ({1e-4: 0.5, 2e-4: 0.6, 4e-4: 0.55}, 2e-4),
        ({1e-4: 0.5, 2e-4: 0.6, 4e-4: 0.6}, 2e-4),  # the smaller of equals
        ({1e-4: 0.5, 2e-4: 0.4, 4e-4: 0.6}, 4e-4),
    ],
)
def test_the_choice_of_a_knob(scores, chosen):
    rows, _ = finished(lambda run: scores[run.value], most=6)
    assert chosen_value(BASE, rows) == chosen


def test_nothing_is_chosen_before_all_tuning_runs_of_an_arm_are_finished():
    rows, _ = finished(most=5)
    assert chosen_value(BASE, rows) is None
    assert list(known_runs(rows)) == tuning_runs(BASE)


def test_a_run_that_failed_counts_as_0_in_tuning():
    rows, _ = finished(lambda run: 0.9 if run.value == 4e-4 else 0.5, most=6)
    name = next(run.name for run in tuning_runs(BASE) if run.value == 4e-4)
    rows[name] = {"error": "boom"}
    assert chosen_value(BASE, rows) == 1e-4


def test_pairs_go_round_the_warm_starts():
    assert [warm_start_of("sparse", pair) for pair in range(1, 7)] == [0, 1, 2, 0, 1, 2]
