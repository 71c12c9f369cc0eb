"""The statistics of the study against scipy's and rliable's numbers, float64 references and planted effects."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.study import statistics as stats

# Written once by `python tests/benchmarks/rliable_values.py`, in an environment with rliable 1.2.0 and scipy.
KNOWN = json.loads((Path(__file__).parent / "rliable_values.json").read_text())


@pytest.mark.parametrize(("df", "t", "tail"), KNOWN["t_tails"])
def test_t_tail(df, t, tail):
    assert stats.t_tail(t, df) == pytest.approx(tail, rel=1e-9, abs=1e-13)
    assert stats.t_tail(-t, df) == pytest.approx(1 - tail, rel=1e-9)


@given(st.integers(1, 60), st.floats(1e-4, 0.4999))
def test_t_quantile_inverts_the_tail(df, tail):
    assert stats.t_tail(stats.t_quantile(tail, df), df) == pytest.approx(tail, rel=1e-6)


@pytest.mark.parametrize("case", KNOWN["paired"])
def test_paired_and_equivalence(case):
    found = stats.paired(case["differences"])
    for name in ("p", "low", "high", "p_equivalence"):
        assert getattr(found, name) == pytest.approx(case[name], rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("case", KNOWN["scores"])
def test_description_is_rliable_s(case):
    x, y = np.array(case["x"]), np.array(case["y"])
    assert stats.iqm(x) == pytest.approx(case["iqm"], rel=1e-12)
    assert stats.improvement(x, y) == pytest.approx(case["improvement"], rel=1e-12)
    assert stats.profile(x, np.array(case["thresholds"])) == pytest.approx(np.array(case["profile"]), rel=1e-12)
    low, high = stats.bootstrap([x], stats.iqm, resamples=4000)
    width = case["iqm_high"] - case["iqm_low"]
    assert low == pytest.approx(case["iqm_low"], abs=0.15 * width)  # two bootstraps with other random numbers
    assert high == pytest.approx(case["iqm_high"], abs=0.15 * width)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9))
def test_sign_flip_is_the_share_of_all_choices_of_signs(differences):
    signs = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(sum(sign * value for sign, value in zip(choice, differences, strict=True))) for choice in signs]
    expected = sum(one >= abs(sum(differences)) - 1e-9 for one in sums) / len(sums)
    assert stats.sign_flip(differences) == pytest.approx(expected, abs=0.26 / len(sums))


def test_holm():
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.5, 0.9]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_p_values_and_bonferroni(p_values):
    adjusted = stats.holm(p_values)
    assert all(p <= q <= min(1.0, len(p_values) * p) + 1e-12 for p, q in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    assert [adjusted[at] for at in order] == sorted(adjusted)


@pytest.mark.parametrize(
    ("shift", "deviation", "verdict"),
    [(5.0, 1.0, "better"), (-5.0, 1.0, "worse"), (0.0, 0.5, "equivalent"), (1.0, 0.2, "better, but equivalent"),
     (1.0, 6.0, "undecided")],
)  # fmt: skip
def test_planted_effects_are_found(shift, deviation, verdict):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=16)
    noise = (noise - noise.mean()) / noise.std(ddof=1) * deviation
    base = 80 + rng.normal(size=16)
    found = stats.compare({"grpo": base, "arm": base + shift + noise}, "grpo", ["arm"])["arm"]
    assert found["verdict"] == verdict
    assert found["mean"] == pytest.approx(shift)


def test_the_false_positive_rate_of_the_family_is_held():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        scores = {name: rng.normal(size=16) for name in "abcdefgh"}
        found = stats.compare(scores, "a", list("bcdefgh"))
        wrong += any(row["holm"] < 0.05 for row in found.values())
    assert wrong / 400 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_few_pairs():
    assert math.isnan(stats.paired([1.0]).p)
    assert stats.paired([1.0, 1.0]).p == 0.0
    assert stats.paired([0.0, 0.0]).p == 1.0


def test_the_numbers_of_the_plan():
    """2.1, 3.2 and 3.9 points with 16, 8 and 6 pairs, if differences have a standard deviation of 2.8."""
    assert [round(stats.detectable(2.8, pairs), 1) for pairs in (16, 8, 6)] == [2.1, 3.2, 3.9]
