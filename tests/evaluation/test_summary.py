"""The table of an evaluation by hand."""

import pytest

from egpo_trl.evaluation.intervals import pass_at_k, wilson_interval
from egpo_trl.evaluation.records import Scored
from egpo_trl.evaluation.summary import Summary, SummaryRow, default_ks, summarize


def by_size(sizes):
    return {"all": {name: size / sum(sizes.values()) for name, size in sizes.items()}}


def scored(table):
    """Scores from `{category: {item: [score of each sample]}}`."""
    return [
        Scored(item, category, number, score, "correct" if score == 1 else "wrong_value")
        for category, items in table.items()
        for item, scores in items.items()
        for number, score in enumerate(scores)
    ]


def test_one_sample_each():
    summary = summarize(scored({"a": {"1": [1.0], "2": [0.0], "3": [1.0]}, "b": {"4": [0.0]}}), by_size)
    assert [(row.category, row.n, row.score) for row in summary.rows[:2]] == [
        ("a", 3, pytest.approx(2 / 3)),
        ("b", 1, 0),
    ]
    assert (summary.rows[0].low, summary.rows[0].high) == wilson_interval(2, 3)
    assert summary.rows[2].score == pytest.approx(0.5)
    assert summary.rows[2].weights == {"a": 0.75, "b": 0.25}
    assert summary.rows[0].weights is None
    assert summary.pass_at_k == {}
    assert summary.reasons == {"a": {"correct": 2, "wrong_value": 1}, "b": {"wrong_value": 1}}


def test_several_samples():
    summary = summarize(scored({"a": {"1": [1.0, 0.0, 0.0, 1.0], "2": [0.0] * 4}, "b": {"3": [1.0] * 4}}), by_size)
    assert summary.samples == 4
    assert summary.rows[0].score == pytest.approx(0.25)
    assert sorted(summary.pass_at_k) == [1, 2, 4]
    for k, values in summary.pass_at_k.items():
        assert values["a"] == pytest.approx(pass_at_k(4, 2, k) / 2)
        assert values["b"] == 1
        assert values["all"] == pytest.approx((2 * values["a"] + values["b"]) / 3)
    assert summary.pass_at_k[1]["all"] == pytest.approx(summary.rows[-1].score)
    assert summarize(scored({"a": {"1": [0.5, 1.0]}}), by_size).pass_at_k == {}  # nothing passes halfway


def test_aggregates_of_a_suite():
    table = {"a": {"1": [1.0], "2": [1.0], "3": [1.0]}, "b": {"4": [0.0]}}
    summary = summarize(scored(table), lambda sizes: {"mean": {"a": 0.5, "b": 0.5}, "only a": {"a": 1.0}})
    assert [(row.category, row.n, row.score) for row in summary.rows[2:]] == [("mean", 4, 0.5), ("only a", 3, 1.0)]
    assert (summary.rows[3].low, summary.rows[3].high) == pytest.approx(wilson_interval(3, 3))


def test_ks():
    assert [default_ks(n) for n in (1, 2, 3, 8, 10)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8], [1, 2, 4, 8, 10]]


def test_markdown():
    reasons = {"a": {f"reason {i}": 100 - i for i in range(25)}, "b": {"odd | one\nmore": 1}}
    rows = [SummaryRow("a", 1234, 0.5, 0.4, 0.6), SummaryRow("all", 1234, 0.5, 0.4, 0.6, {"a": 1.0})]
    text = Summary(rows, 2, {1: {"a": 0.5, "all": 0.5}}, reasons, notes=["A note."]).markdown()
    assert "| a | 1,234 | 50.0 | 40.0 to 60.0 | 50.0 |" in text
    assert "| **all** |" in text
    assert "| reason | samples | a | b |" in text
    assert "| reason 0 | 100 | 100 | 0 |" in text
    assert "6 other reasons: 391 samples." in text
    assert text.endswith("A note.\n")
    many = {str(number): {"correct": 1} for number in range(9)}
    assert "| correct | 9 |\n" in Summary(rows[:1], reasons=many).markdown()
    assert "odd \\| one more" in Summary(rows[:1], reasons={"b": reasons["b"]}).markdown()


def test_nothing_to_sum_up():
    with pytest.raises(ValueError, match="no item was scored"):
        summarize([], by_size)
