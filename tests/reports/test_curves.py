"""Learning curves from trainer logs."""

import json
import math
import warnings

import pytest

from egpo_trl.cli import main
from egpo_trl.reports.curves import curves_figure, draw_curves, name_runs
from egpo_trl.reports.panels import PANELS, reason_shares

LOG = [
    {"step": step, "reward": step / 10, "egpo/cot_entropy": 0.5, "egpo/bonus": 0.1, "kl": None} for step in range(1, 9)
] + [{"step": 8, "train_runtime": 3.0}]


def write(folder, log=LOG, name="trainer_state.json"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({"log_history": log}))
    return folder


def lines(figure, title):
    """The thick lines of a panel: label -> points."""
    (axes,) = [axes for axes in figure.axes if axes.get_title() == title]
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines if line.get_alpha() is None}


@pytest.mark.parametrize(
    "runs",
    [{"a": LOG}, {"a": LOG, "b": LOG[:1]}, {"a": [LOG, LOG[:3]], "b": LOG}, {"a": [LOG, []]}],
    ids=["one", "two", "seeds", "a seed without a log"],
)
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_pictures(tmp_path, runs, ending):
    picture = draw_curves(runs, tmp_path / "deep" / f"x.{ending}", title="t")
    assert picture.stat().st_size > 5000


def test_one_run_gets_panels_of_related_metrics_and_several_one_a_metric():
    one, two = curves_figure({"a": LOG}), curves_figure({"a": LOG, "b": LOG})
    assert [axes.get_title() for axes in one.axes] == ["Reward", "Entropy", "Entropy bonus"]
    assert [axes.get_title() for axes in two.axes] == ["Reward", "Entropy of the chain of thought", "Entropy bonus"]
    assert lines(one, "Reward") == {"training": [[step, step / 10] for step in range(1, 9)]}
    styles = [(line.get_color(), line.get_linestyle()) for line in two.axes[0].lines if line.get_alpha() is None]
    assert len({colour for colour, _ in styles}) == len({dash for _, dash in styles}) == 2
    assert [text.get_text() for text in two.legends[0].texts] == ["a", "b"]


def test_every_metric_of_the_issue_has_a_panel():
    drawn = {metric.name for _, _, metrics in PANELS for metric in metrics}
    assert drawn >= {
        "reward", "kl", "egpo/cot_entropy", "egpo/answer_entropy", "completions/mean_length", "egpo/cot_length",
        "egpo/bonus", "egpo/bonus_clipped_ratio", "frac_reward_zero_std",
    }  # fmt: skip


def test_seeds_are_a_mean_and_a_band_of_one_standard_deviation():
    seeds = [[{"step": step, "reward": value * step} for step in (2, 4, 6)] for value in (1, 2, 6)]
    seeds[0].append({"step": 8, "reward": 100})  # the others have not come that far
    figure = curves_figure({"EGPO": seeds, "GRPO": LOG})
    assert lines(figure, "Reward")["EGPO (3 seeds)"] == [[step, 3.0 * step] for step in (2, 4, 6)]
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(6 * (3 + math.sqrt(7)))
    assert band[:, 1].min() == pytest.approx(2 * (3 - math.sqrt(7)))


def test_names_that_matplotlib_would_read_as_something_else(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = curves_figure({"$\\frac{$": LOG, "_hidden": LOG, "a\nb\0": LOG}, title="$x_{")
        figure.savefig(tmp_path / "x.png")
    assert len(figure.legends[0].texts) == 3


def test_shares_of_reasons():
    log = [{"step": s, **{f"reason/r{i}": 0.1 for i in range(9)}, "reason/correct": 0.1} for s in (1, 2)]
    steps, shares = reason_shares([*log, {"step": 2, "reward": 0}])
    assert steps == [1, 2]
    assert (next(iter(shares)), list(shares)[-1]) == ("correct", "4 others")
    assert [sum(column) for column in zip(*shares.values(), strict=True)] == pytest.approx([1, 1])
    assert reason_shares(LOG) == ([], {})


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_curves({"a": []}, tmp_path / "x.png")
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_curves({"a": [[], []]}, tmp_path / "x.png")
    with pytest.raises(ValueError, match="is not a regular expression"):
        name_runs(["a"], "(")
    with pytest.raises(ValueError, match="'EGPO=,' names no run"):
        name_runs(["EGPO=,"])


def test_names_of_runs(tmp_path):
    a, b = str(write(tmp_path / "x" / "run")), str(write(tmp_path / "y" / "run"))
    other = str(write(tmp_path / "grpo-1"))
    assert name_runs([other]) == name_runs([other, other]) == {"grpo-1": [other]}
    assert name_runs([a, b]) == {a: [a], b: [b]}
    assert name_runs([a, f"{a}/trainer_state.json"]) == {
        a: [a],
        f"{a}/trainer_state.json": [f"{a}/trainer_state.json"],
    }
    assert name_runs([f"EGPO={a},{b}", other]) == {"EGPO": [a, b], "grpo-1": [other]}
    assert name_runs([other, str(tmp_path / "grpo-2"), a], r"-\d+$") == {
        "grpo": [other, str(tmp_path / "grpo-2")],
        "run": [a],
    }
    with_sign = str(write(tmp_path / "lr=1"))
    assert name_runs([with_sign]) == {"lr=1": [with_sign]}


def test_command(tmp_path):
    run = write(tmp_path / "run")
    main(["curves", str(run)])
    assert (run / "learning_curves.png").exists()
    main(["curves", str(run), str(run / "trainer_state.json"), "--output", str(tmp_path / "two.svg")])
    assert (tmp_path / "two.svg").exists()
    main(["curves", f"EGPO={run},{run}", f"GRPO={run}", "--output", str(tmp_path / "three.pdf"), "--title", "t"])
    assert (tmp_path / "three.pdf").exists()
    for words, message in (
        ([str(tmp_path / "nowhere")], r"egpo-trl curves: .*nowhere"),
        ([str(run), "--output", "x.bmpx"], "egpo-trl curves: .*bmpx"),
        ([str(run), "--group", "("], "is not a regular expression"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(["curves", *words])
