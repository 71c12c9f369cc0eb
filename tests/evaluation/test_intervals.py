"""Intervals against published values and brute force, pass@k against exact fractions."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egpo_trl.evaluation.intervals import (
    combined_interval,
    mean_interval,
    pass_at_k,
    percentile_interval,
    resampled_means,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Newcombe 1998, Table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_values(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_where_the_score_test_just_does_not_reject(case):
    successes, trials = case
    low, high = wilson_interval(successes, trials)
    share = successes / trials
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            assert abs(share - end) / math.sqrt(end * (1 - end) / trials) == pytest.approx(1.959963985, rel=1e-6)
    mirrored = wilson_interval(trials - successes, trials)
    assert mirrored == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("case", [(1, 0), (3, 2), (-1, 2)])
def test_no_proportion(case):
    with pytest.raises(ValueError, match="is not a proportion"):
        wilson_interval(*case)


def test_resampled_means_are_those_of_a_bootstrap():
    values = np.array([0.0, 0.25, 0.25, 1.0, 0.5, 1.0, 0.0])
    means = resampled_means(values, 200_000, seed=1)
    assert means.mean() == pytest.approx(values.mean(), abs=2e-3)
    assert means.var() == pytest.approx(values.var() / len(values), rel=0.02)
    rng = np.random.default_rng(0)
    naive = values[rng.integers(0, len(values), (200_000, len(values)))].mean(axis=1)
    assert percentile_interval(means) == pytest.approx(percentile_interval(naive), abs=0.04)
    assert (resampled_means(values, 50, seed=3) == resampled_means(values, 50, seed=3)).all()


def test_the_interval_of_a_mean():
    assert mean_interval([0.0, 1.0, 1.0, 1.0]) == wilson_interval(3, 4)
    low, high = mean_interval([0.25, 0.75, 0.5] * 20)
    assert 0.4 < low < 0.5 < high < 0.6
    assert mean_interval([0.5] * 9) == (0.5, 0.5)


def test_the_interval_of_a_sum_covers_what_it_should():
    assert combined_interval([1.0], [0.3], [(0.1, 0.6)]) == pytest.approx((0.1, 0.6))
    low, high = combined_interval([0.5, 0.5], [0.4, 0.8], [(0.3, 0.5), (0.7, 0.9)])
    assert (low, high) == pytest.approx((0.6 - math.hypot(0.05, 0.05), 0.6 + math.hypot(0.05, 0.05)))
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        parts = [(rng.binomial(n, p), n) for n, p in ((40, 0.95), (100, 0.6), (15, 0.3))]
        low, high = combined_interval(
            [1 / 3] * 3, [c / n for c, n in parts], [wilson_interval(c, n) for c, n in parts]
        )
        covered += low <= (0.95 + 0.6 + 0.3) / 3 <= high
    assert 0.935 <= covered / 2000 <= 0.975


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_equals_the_fraction(case):
    n, c, k = case
    exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    assert pass_at_k(n, c, k) == pytest.approx(float(exact), abs=1e-12)


def test_pass_at_k_is_unbiased_and_stable():
    right = [True, False, False, True, False, False]
    subsets = list(combinations(right, 3))
    assert pass_at_k(6, 2, 3) == pytest.approx(sum(map(any, subsets)) / len(subsets))
    exact = 1 - Fraction(math.comb(9_990, 1_000), math.comb(10_000, 1_000))  # binomials with thousands of digits
    assert pass_at_k(10_000, 10, 1_000) == pytest.approx(float(exact), rel=1e-9)
    for case in ((4, 5, 1), (4, 1, 5), (4, 1, 0), (4, -1, 1)):
        with pytest.raises(ValueError, match="not defined"):
            pass_at_k(*case)
