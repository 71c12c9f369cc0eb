"""What a run shows on screen."""

from types import SimpleNamespace

import pytest

from egpo_trl.runs import callbacks
from egpo_trl.runs.callbacks import ConsoleCallback


@pytest.fixture
def shown(monkeypatch, capsys):
    """Lines that a callback prints for logs at given steps, 30 seconds a step."""

    def show(*logs, first=0, main=True):
        now = [100.0]
        monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
        callback = ConsoleCallback()
        callback.on_train_begin(None, SimpleNamespace(global_step=first), None)
        for step, values in logs:
            now[0] = 100.0 + 30 * (step - first)
            callback.on_log(
                None, SimpleNamespace(global_step=step, max_steps=200, is_world_process_zero=main), None, logs=values
            )
        return capsys.readouterr().out.splitlines()

    return show


def test_one_line_a_log(shown):
    full = {"reward": 0.5, "kl": 0.01, "egpo/cot_entropy": 0.2, "egpo/answer_entropy": 0.1, "egpo/bonus": 0.03}
    full |= {"completions/mean_length": 41.6, "grad_norm": 1.0}
    assert shown((10, full), (199, {"reward": 1.0, "kl": None})) == [
        "step   10/200  reward 0.500  KL 0.010  CoT entropy 0.200  answer entropy 0.100  bonus 0.030  length 42  left 1:35:00",
        "step  199/200  reward 1.000  left 0:30",
    ]


def test_a_resumed_run_counts_its_own_time(shown):
    assert shown((110, {"reward": 0.0}), first=100) == ["step  110/200  reward 0.000  left 45:00"]


def test_held_out_rows(shown):
    assert shown((10, {"eval_reward": 0.25, "eval_egpo/cot_entropy": 0.5, "eval_runtime": 3})) == [
        "step   10/200  held out: reward 0.250  CoT entropy 0.500"
    ]


def test_nothing_else_is_printed(shown):
    assert shown((10, {"train_runtime": 1.0}), (10, {}), (10, None)) == []
    assert shown((10, {"reward": 1.0}), main=False) == []
