"""Calculates confidence intervals of scores and differences, and pass@k."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

CONFIDENCE = 0.95
RESAMPLES = 10_000


def wilson_interval(successes: float, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927), without continuity correction."""
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials is not a proportion.")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == trials else min(1.0, centre + half)


def resampled_means(
    values: Sequence[float] | NDArray[np.float64], resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    distinct, counts = np.unique(array, return_counts=True)  # how often each value is drawn is all that a mean needs
    drawn = rng.multinomial(len(array), counts / len(array), size=resamples)
    means: NDArray[np.float64] = drawn @ distinct / len(array)
    return means


def percentile_interval(estimates: NDArray[np.float64], confidence: float = CONFIDENCE) -> Interval:
    low, high = np.quantile(estimates, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Interval of a mean score over prompts: Wilson's where every value is 0 or 1, else a percentile bootstrap."""
    if all(value in (0, 1) for value in values):
        return wilson_interval(sum(values), len(values), confidence)
    return percentile_interval(resampled_means(values), confidence)


def paired_interval(differences: Sequence[float] | NDArray[np.float64], confidence: float = CONFIDENCE) -> Interval:
    """Interval of a mean difference of paired scores: the adjusted Wald interval of Bonett and Price (2012)."""
    gaps = np.asarray(differences, dtype=np.float64)
    size = len(gaps) + 2
    mean = float(gaps.sum()) / size
    variance = (float((gaps**2).sum()) + 2) / size - mean**2
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(variance / size)
    return max(-1.0, mean - half), min(1.0, mean + half)


def combined_interval(weights: Sequence[float], estimates: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Interval of a weighted sum of independent estimates, from their own intervals (Zou and Donner 2008, MOVER)."""
    total = math.fsum(weight * estimate for weight, estimate in zip(weights, estimates, strict=True))
    down = up = 0.0
    for weight, estimate, (low, high) in zip(weights, estimates, intervals, strict=True):
        down += (weight * (estimate - low)) ** 2
        up += (weight * (high - estimate)) ** 2
    return total - math.sqrt(down), total + math.sqrt(up)


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples is right (Chen et al. 2021, arXiv 2107.03374)."""
    if not 0 <= correct <= samples or not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {samples} samples with {correct} right is not defined.")
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)
