"""Paired differences against brute force, what cannot be compared, and the picture."""

import numpy as np
import pytest

from egpo_trl.evaluation.compare import Run, compare_runs, read_run
from egpo_trl.evaluation.comparison_figure import comparison_figure, draw_comparison
from egpo_trl.evaluation.evaluate import evaluate
from egpo_trl.evaluation.intervals import wilson_interval
from egpo_trl.sampling.config import EvaluationConfig
from tests.evaluation.fakes import Arithmetic, CountingSuite


def run(name, scores, **fields):
    digests = {item: "d" for items in scores.values() for item in items}
    aggregates = {"all": {"a": 0.75, "b": 0.25}}
    return Run(
        **{"name": name, "suite": "s", "scores": scores, "digests": digests, "aggregates": aggregates, **fields}
    )


def pair(seed=0, n=120):
    """Two runs that mostly agree: what is hard is hard for both."""
    rng = np.random.default_rng(seed)
    one = (rng.random(n) < 0.5).astype(float)
    two = np.where(rng.random(n) < 0.1, 1.0, one)
    split = {"a": slice(0, 90), "b": slice(90, n)}
    return [
        run(name, {kind: {f"{kind}{i}": v for i, v in enumerate(values[part])} for kind, part in split.items()})
        for name, values in (("one", one), ("two", two))
    ]


def test_the_difference_and_its_interval():
    runs = pair()
    comparison = compare_runs(runs)
    row = comparison.rows[0]
    values = [np.array(list(one.scores["a"].values())) for one in runs]
    assert row.cells[1].difference == pytest.approx(values[1].mean() - values[0].mean())
    picks = np.random.default_rng(1).integers(0, 90, (20_000, 90))
    brute = np.quantile(values[1][picks].mean(axis=1) - values[0][picks].mean(axis=1), [0.025, 0.975])
    assert (row.cells[1].difference_low, row.cells[1].difference_high) == pytest.approx(tuple(brute), abs=0.02)
    other = np.random.default_rng(2).integers(0, 90, (20_000, 90))
    unpaired = np.quantile(values[1][picks].mean(axis=1) - values[0][other].mean(axis=1), [0.025, 0.975])
    assert row.cells[1].difference_high - row.cells[1].difference_low < 0.6 * (unpaired[1] - unpaired[0])
    assert (row.cells[0].low, row.cells[0].high) == wilson_interval(values[0].sum(), 90)
    assert row.cells[0].difference == row.cells[0].difference_low == row.cells[0].difference_high == 0


def test_what_sums_up_categories():
    comparison = compare_runs(pair())
    a, b, both = comparison.rows
    assert both.is_aggregate
    assert both.n == 120
    for number in range(2):
        assert both.cells[number].score == pytest.approx(0.75 * a.cells[number].score + 0.25 * b.cells[number].score)
    assert both.cells[1].difference == pytest.approx(both.cells[1].score - both.cells[0].score)
    assert both.cells[1].difference_low <= both.cells[1].difference <= both.cells[1].difference_high
    width = [cell.difference_high - cell.difference_low for cell in (a.cells[1], b.cells[1], both.cells[1])]
    assert width[2] == pytest.approx(np.hypot(0.75 * width[0], 0.25 * width[1]), rel=0.1)
    assert compare_runs(pair()) == comparison


def test_only_what_all_runs_answered_counts():
    one, two = pair()
    kept = {item: score for item, score in two.scores["a"].items() if item != "a3"}
    comparison = compare_runs([one, run("two", {"a": kept}), one])
    assert [(row.category, row.n) for row in comparison.rows] == [("a", 89)]  # "all" needs b
    assert comparison.left_out == 31
    assert "31 prompts that not all runs answered are left out" in comparison.markdown()


def test_what_cannot_be_compared():
    one, two = pair()
    for other, message in (
        (run("x", two.scores, suite="t"), "one is of the suite s, x of t"),
        (run("x", two.scores, digests={**two.digests, "a7": "e"}), "asked different things under the id 'a7'"),
        (run("x", {"c": {"z": 1.0}}), "do not share a prompt"),
    ):
        with pytest.raises(ValueError, match=message):
            compare_runs([one, other])
    with pytest.raises(ValueError, match="needs two runs"):
        compare_runs([one])


@pytest.fixture
def finished(tmp_path):
    evaluate(CountingSuite(), EvaluationConfig(model_name_or_path="m", output_dir=str(tmp_path)), Arithmetic())
    return tmp_path


def test_a_run_is_read_back(finished):
    found = read_run("name", finished)
    assert (found.name, found.suite) == ("name", "counting")
    assert {kind: len(items) for kind, items in found.scores.items()} == {f"steps {n}": 4 for n in (1, 2, 3)}
    assert sum(found.aggregates["all"].values()) == pytest.approx(1)
    comparison = compare_runs([found, found])
    for row in comparison.rows:  # equal runs: no difference, and an interval that says how little is known
        assert row.cells[1].difference == 0
        assert row.cells[1].difference_low == -row.cells[1].difference_high < -0.05


def test_half_written_and_missing_files(finished):
    scores, summary = finished / "scores.jsonl", finished / "summary.json"
    content = scores.read_bytes()
    scores.write_bytes(content[:-20])
    with pytest.raises(ValueError, match=r"scores\.jsonl, line 12 is broken.*Run `egpo-trl evaluate` again"):
        read_run("x", finished)
    scores.write_bytes(content)
    summary.write_text(summary.read_text()[:100])
    with pytest.raises(ValueError, match=r"summary\.json is broken"):
        read_run("x", finished)
    summary.unlink()
    with pytest.raises(ValueError, match=r"does not hold a finished evaluation \(summary\.json is missing\)"):
        read_run("x", finished)


def test_table_and_picture(tmp_path, capsys):
    one, two = pair()
    comparison = compare_runs([run("a|b", one.scores), two])
    table = comparison.markdown()
    assert "| category | n | a\\|b | two | two - a\\|b |" in table
    assert "| **all** | 120 |" in table
    gap = comparison.rows[-1].cells[1]
    assert gap.difference_low > 0
    assert f"| **{100 * gap.difference:+.1f} (" in table
    comparison.print()
    assert "120" in capsys.readouterr().out
    figure = comparison_figure(comparison)
    axes, below = figure.axes
    marks = [bars for bars in below.containers if bars.__class__.__name__ == "ErrorbarContainer"]
    assert [mark.lines[0].get_ydata()[0] for mark in marks] == pytest.approx(
        [100 * row.cells[1].difference for row in comparison.rows]
    )
    assert marks[-1].lines[0].get_markerfacecolor() != "white"
    assert [len(bars) for bars in axes.containers if bars.__class__.__name__ == "BarContainer"] == [3, 3]
    heights = [bar.get_height() for bar in axes.containers[1]] if len(axes.containers) > 1 else []
    assert heights
    styles = {
        (bars[0].get_facecolor(), bars[0].get_hatch())
        for bars in axes.containers
        if bars.__class__.__name__ == "BarContainer"
    }
    assert len(styles) == 2
    assert draw_comparison(comparison, tmp_path / "new" / "picture.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="not supported"):
        draw_comparison(comparison, tmp_path / "picture.tiff7")


@pytest.mark.parametrize(
    ("gained", "n", "is_bold"), [(1, 1, False), (2, 2, False), (5, 5, True), (5, 100, False), (6, 100, True)]
)
def test_few_prompts_make_no_clear_difference_however_much_they_agree(gained, n, is_bold):
    scores = [{"a": {f"a{i}": score * (i < gained) for i in range(n)}, "b": {"b0": 0.0}} for score in (0.0, 1.0)]
    comparison = compare_runs([run("one", scores[0]), run("two", scores[1])])
    cell = comparison.rows[0].cells[1]
    assert cell.difference_low < cell.difference <= cell.difference_high
    assert cell.is_clear is is_bold
    assert (f"**{100 * cell.difference:+.1f} (" in comparison.markdown()) is is_bold


def test_sums_over_a_part_of_the_prompts_say_whose_weights_they_have():
    one, two = pair()
    part = run("two", {"a": dict(list(two.scores["a"].items())[:10]), "b": two.scores["b"]})
    assert "weights of the first run" in compare_runs([one, part]).markdown()
    assert "weights of the first run" not in compare_runs([one, two]).markdown()
