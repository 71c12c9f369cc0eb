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
    paired_interval,
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


def test_paired_interval_is_the_published_one():
    """Adjusted Wald of Bonett and Price (2012): (b + 1) / (n + 2) and (c + 1) / (n + 2), b and c the discordant pairs."""
    for n, b, c in ((20, 3, 1), (50, 0, 0), (7, 7, 0), (100, 12, 30)):
        p, q = (b + 1) / (n + 2), (c + 1) / (n + 2)
        half = 1.959964 * ((p + q - (p - q) ** 2) / (n + 2)) ** 0.5
        expected = (max(-1, p - q - half), min(1, p - q + half))
        assert paired_interval([1.0] * b + [-1.0] * c + [0.0] * (n - b - c)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n", [5, 10, 20, 50])
@pytest.mark.parametrize(("gain", "loss"), [(0.0, 0.0), (0.02, 0.0), (0.1, 0.1), (0.3, 0.05), (0.9, 0.0), (0.5, 0.5)])
def test_paired_interval_keeps_its_level(n, gain, loss):
    """Exact coverage: the sum over every outcome of n pairs, weighted by its chance."""
    same, covered = max(0.0, 1 - gain - loss), 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            chance = math.comb(n, b) * math.comb(n - b, c) * gain**b * loss**c * same ** (n - b - c)
            low, high = paired_interval([1.0] * b + [-1.0] * c + [0.0] * (n - b - c)) if chance else (0, 0)
            covered += chance * (low <= gain - loss <= high)
    assert covered > (0.89 if (n, gain, loss) == (10, 0.5, 0.5) else 0.93)  # so few pairs, all different


def test_paired_interval_never_collapses():
    for value in (0.0, 1.0, -1.0, 0.5):
        for n in (1, 10, 1000):
            low, high = paired_interval([value] * n)
            assert high - low > 1 / (n + 2)
            assert low <= value <= high
