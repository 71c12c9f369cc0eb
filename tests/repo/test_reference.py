"""The reference is what the source says, and the glossary knows every name that the source has."""

from pathlib import Path

from egpo_trl.cli.commands import COMMANDS, make_parser
from egpo_trl.egpo_metrics import _RATIOS
from egpo_trl.grpo.dynamic_sampling import SamplingRounds, sampling_cost
from egpo_trl.grpo.work_metrics import _RATIOS as _WORK_RATIOS
from egpo_trl.reports.glossary import METRICS, REASONS, meaning_of
from egpo_trl.rewards import tool_call as rewards
from egpo_trl.rewards import trajectory as trajectory_reward

ROOT = Path(__file__).parents[2]


def test_glossary():
    assert tuple(REASONS) == trajectory_reward.TRAJECTORY_REASONS
    assert trajectory_reward.TRAJECTORY_REASONS[: len(rewards.REASONS)] == rewards.REASONS
    assert {name for name in METRICS if name.startswith("egpo/")} == {f"egpo/{name}" for name in _RATIOS}
    names = {*_WORK_RATIOS, *sampling_cost(SamplingRounds([], 0.0), 1, [1.0], 0.0)}
    assert {name for name in METRICS if name.startswith("update/")} == {f"update/{name}" for name in names}
    assert meaning_of("reason/truncated") == f"share of rollouts: {REASONS['truncated']}"
    assert meaning_of("eval_rewards/f/mean") == meaning_of("rewards/g/std") == METRICS["rewards/*"]
    assert meaning_of("eval_runtime") == "seconds of an evaluation"
    assert meaning_of("eval_reward") == METRICS["reward"]
    assert meaning_of("something/else") is meaning_of("x") is None


def test_the_reference_does_not_drift(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    from generate_reference import REFERENCE, render

    text = render()
    assert REFERENCE.read_text() == text, "run `python docs/generate_reference.py`"
    for command in COMMANDS:
        assert f"### `egpo-trl {command}" in text
        assert f"\n    {command}" in make_parser("").format_help()


def test_no_cell_of_the_reference_is_longer_than_two_lines(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    from generate_reference import render

    rows = [line.replace("\\|", "").strip("|").split(" | ") for line in render().splitlines() if line.startswith("|")]
    assert len(rows) > 300
    assert [cell for row in rows for cell in row if len(cell.strip()) > 160] == []


def test_every_documented_reason_and_metric_of_ours_is_in_the_hand_written_pages():
    pages = ("reward", "multi_turn", "training")
    reward, multi_turn, training = ((ROOT / "docs" / f"{name}.md").read_text() for name in pages)
    for reason in REASONS:
        assert f"`{reason}`" in (reward if reason in rewards.REASONS else multi_turn)
    for metric in METRICS:
        if metric.startswith(("egpo/", "update/")):
            assert f"`{metric}`" in training
