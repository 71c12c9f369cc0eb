"""A run that cannot learn says so once, with the remedy."""

from types import SimpleNamespace

import pytest

from egpo_trl.cli import main
from egpo_trl.runs.learning_watch import SIGNS, LearningWatch

LEARNS = {"reward": 0.5, "completions/clipped_ratio": 0.2, "frac_reward_zero_std": 0.3, "grad_norm": 1.0}
CASES = [
    ({"completions/clipped_ratio": 1.0, "frac_reward_zero_std": 1.0, "reward": 0.0}, "Raise max_completion_length"),
    ({"frac_reward_zero_std": 1.0, "reward": 0.0}, "no completion earned a reward"),
    ({"frac_reward_zero_std": 1.0, "reward": 1.0}, "all rewards of every group were equal"),
    ({"grad_norm": 0.0}, "the gradient was 0"),
]


def run(logs, every=1):
    watch = LearningWatch()
    state = SimpleNamespace(global_step=0, is_world_process_zero=True)
    watch.on_train_begin(None, state, None)
    for log in logs:
        state.global_step += every
        watch.on_log(None, state, None, logs=log)
    watch.on_train_end(None, state, None)


@pytest.mark.parametrize(("sign", "words"), CASES)
def test_a_sign_is_told_once(sign, words, capsys):
    run([LEARNS, *[{**LEARNS, **sign}] * 30])
    shown = capsys.readouterr().out
    assert shown.count("note: nothing is being learned") == 1
    assert words in shown
    assert "from step 2 to 11" in shown
    run([{**LEARNS, **sign}] * 3)  # a short run as a whole
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(("sign", "_"), CASES)
def test_a_run_that_learns_now_and_then_says_nothing(sign, _, capsys):
    run([*[{**LEARNS, **sign}] * 9, LEARNS] * 3)
    run([{"eval_reward": 0.0}] * 30)
    assert capsys.readouterr().out == ""


def test_every_sign_has_a_case():
    assert len(CASES) == len(SIGNS)


def test_through_the_command(tmp_path, capsys):
    main([
        "train", "--config", "quickstart", "--max_steps", "2", "--logging_steps", "1", "--report", "false",
        "--per_device_train_batch_size", "16", "--max_completion_length", "1", "--max_validation_rows", "4",
        "--num_demo_rows", "32", "--output_dir", str(tmp_path),
    ])  # fmt: skip
    assert "every completion was cut off at max_completion_length" in capsys.readouterr().out
