"""The statistics of the plan, as pure functions on numpy arrays. Scores and differences are in points."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RESAMPLES = 10_000
MARGIN = 2.0


# Student's t


def t_tail(t: float, df: int) -> float:
    """P(T > t) of Student's t with a whole number of degrees of freedom, by its finite series."""
    angle = math.atan(t / math.sqrt(df))
    cosine, sine = math.cos(angle), math.sin(angle)
    if df % 2:
        term, total = cosine, cosine if df > 1 else 0.0
        for k in range(3, df, 2):
            term *= (k - 1) / k * cosine**2
            total += term
        inside = 2 / math.pi * (angle + sine * total)
    else:
        term = total = 1.0
        for k in range(2, df, 2):
            term *= (k - 1) / k * cosine**2
            total += term
        inside = sine * total
    return 0.5 * (1 - inside)


def t_quantile(tail: float, df: int) -> float:
    """The t that leaves `tail` above it, for a tail below 0.5."""
    low, high = 0.0, 1.0
    while t_tail(high, df) > tail:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, df) > tail else (low, middle)
    return (low + high) / 2


class Paired(NamedTuple):
    """What the differences of one arm say."""

    pairs: int
    mean: float
    deviation: float
    low: float  # of the 95 % interval
    high: float
    p: float  # of no difference, two-sided
    p_equivalence: float  # of a difference of the margin or more


def paired(differences: Sequence[float] | Array, margin: float = MARGIN) -> Paired:
    """Paired t test of a mean of 0, and two one-sided tests against the margin."""
    values = np.asarray(differences, dtype=np.float64)
    count, mean = len(values), float(values.mean())
    if count < 2:
        return Paired(count, mean, math.nan, math.nan, math.nan, math.nan, math.nan)
    deviation = float(values.std(ddof=1))
    error = deviation / math.sqrt(count)
    if error == 0:
        return Paired(count, mean, 0.0, mean, mean, float(mean == 0), float(abs(mean) >= margin))
    half = t_quantile(0.025, count - 1) * error
    p = 2 * t_tail(abs(mean) / error, count - 1)
    equivalence = max(t_tail((mean + margin) / error, count - 1), t_tail((margin - mean) / error, count - 1))
    return Paired(count, mean, deviation, mean - half, mean + half, p, equivalence)


def sign_flip(differences: Sequence[float] | Array) -> float:
    """Two-sided p of the exact sign-flip test: the share of all choices of signs with a mean as large."""
    values = np.asarray(differences, dtype=np.float64)
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return float((np.abs(sums) >= abs(values.sum()) - 1e-9).mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def detectable(deviation: float, pairs: int, power: float = 0.8) -> float:
    """The difference that so many pairs see with this power, at 5 % two-sided without adjustment (normal power)."""
    z = {0.8: 0.8416212335729143}[power]
    return (t_quantile(0.025, pairs - 1) + z) * deviation / math.sqrt(pairs)


# Description as in rliable: score matrices of shape (..., runs, tasks)


def iqm(scores: Array) -> Any:
    """Mean of the middle half of all scores of a matrix; of n, int(n / 4) are cut on each side."""
    values = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = values.shape[-1] // 4
    return values[..., cut : values.shape[-1] - cut].mean(axis=-1)


def improvement(x: Array, y: Array) -> Any:
    """Probability that a run of x is better than one of y, mean over tasks; equals count half."""
    left, right = x[..., :, None, :], y[..., None, :, :]
    return ((left > right) + 0.5 * (left == right)).mean(axis=(-3, -2, -1))


def profile(scores: Array, thresholds: Array) -> Array:
    """Share of runs above each threshold, mean over tasks."""
    return (scores[:, :, None] > thresholds).mean(axis=(0, 1))


def bootstrap(
    matrices: Sequence[Array], statistic: Callable[..., Any], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """
    95 % percentile interval of a statistic of score matrices of shape (runs, tasks), whose runs are pairs: the same
    runs are drawn for all matrices, anew for each task.
    """
    runs, tasks = matrices[0].shape
    drawn = np.random.default_rng(seed).integers(runs, size=(resamples, runs, tasks))
    values = statistic(*(matrix[drawn, np.arange(tasks)] for matrix in matrices))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


# The comparison of arms


def compare(scores: Mapping[str, Array], base: str, arms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Tests of each arm against a base over the same pairs, adjusted by Holm over the arms."""
    found = {arm: paired(scores[arm] - scores[base]) for arm in arms}
    adjusted = holm([found[arm].p for arm in arms])
    equivalence = holm([found[arm].p_equivalence for arm in arms])
    return {
        arm: {
            **found[arm]._asdict(), "holm": p, "holm_equivalence": q, "verdict": verdict(found[arm].mean, p, q),
            "sign_flip": sign_flip(scores[arm] - scores[base]),
        }
        for arm, p, q in zip(arms, adjusted, equivalence, strict=True)
    }  # fmt: skip


def verdict(mean: float, p: float, p_equivalence: float, level: float = 0.05) -> str:
    """What the plan calls a comparison."""
    words = []
    if p < level:
        words.append("better" if mean > 0 else "worse")
    if p_equivalence < level:
        words.append("equivalent")
    return ", but ".join(words) or "undecided"
