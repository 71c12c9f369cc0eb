"""Sums up categories as the leaderboards of BFCL do: version 3, which the paper reports, and version 4."""

from collections.abc import Mapping

from .categories import LIVE, MULTI_TURN, NON_LIVE

Weights = dict[str, float]

_NON_LIVE_AST = (NON_LIVE[:3], *((category,) for category in NON_LIVE[3:6]))
AGENTIC_SHARE = 40  # of version 4's overall score: web search and memory, which are not evaluated here


def _mean(*parts: Weights) -> Weights:
    total: Weights = {}
    for part in parts:
        for category, weight in part.items():
            total[category] = total.get(category, 0.0) + weight / len(parts)
    return total


def _by_size(categories: tuple[str, ...], sizes: Mapping[str, int]) -> Weights:
    total = sum(sizes.get(category, 0) for category in categories)
    return {category: sizes.get(category, 0) / max(1, total) for category in categories}


def _equal(categories: tuple[str, ...]) -> Weights:
    return {category: 1 / len(categories) for category in categories}


def leaderboard(sizes: Mapping[str, int]) -> dict[str, Weights]:
    """Weights of the rows whose categories were all evaluated: v3 of bfcl-eval 2025.7.17, v4 of 2026.3.23."""
    simple_to_parallel = [_equal(group) for group in _NON_LIVE_AST]
    non_live, live = _mean(*simple_to_parallel, {"irrelevance": 1.0}), _by_size(LIVE, sizes)
    v4 = {
        "v4 non-live": (10, _mean(*simple_to_parallel)),
        "v4 live": (10, _by_size(LIVE[:4], sizes)),
        "v4 irrelevance": (10, _equal(("irrelevance", "live_irrelevance"))),
        "multi-turn": (30, _equal(MULTI_TURN)),
    }
    overall: Weights = {}
    for share, weights in v4.values():
        for category, weight in weights.items():
            overall[category] = overall.get(category, 0.0) + weight * share / (100 - AGENTIC_SHARE)
    rows = {
        "v3 non-live": non_live,
        "v3 live": live,
        "v3 single-turn": _mean(non_live, live),
        "multi-turn": _equal(MULTI_TURN),
        "v3 overall": _mean(non_live, live, _equal(MULTI_TURN)),
        **{name: weights for name, (_, weights) in v4.items()},
        "v4 overall without agentic": overall,
    }
    return {name: weights for name, weights in rows.items() if all(sizes.get(category) for category in weights)}
