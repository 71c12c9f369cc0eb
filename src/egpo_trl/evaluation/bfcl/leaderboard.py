"""Sums up categories as the leaderboards of BFCL do: version 3, which the paper reports, and version 4."""

from collections.abc import Mapping

from .categories import LIVE, MULTI_TURN, NON_LIVE

Weights = dict[str, float]

_NON_LIVE_AST = (
    ("simple_python", "simple_java", "simple_javascript"),
    ("multiple",),
    ("parallel",),
    ("parallel_multiple",),
)
_LIVE_AST = LIVE[:4]
_V4_SHARES = {"v4 non-live": 10, "v4 live": 10, "v4 irrelevance": 10, "multi-turn": 30}
AGENTIC_SHARE = 40  # of version 4's overall score: web search and memory, which are not evaluated here


def _mean(*parts: Weights) -> Weights:
    total: Weights = {}
    for part in parts:
        for category, weight in part.items():
            total[category] = total.get(category, 0.0) + weight / len(parts)
    return total


def _by_size(categories: tuple[str, ...], sizes: Mapping[str, int]) -> Weights:
    total = sum(sizes[category] for category in categories)
    return {category: sizes[category] / total for category in categories}


def _equal(categories: tuple[str, ...]) -> Weights:
    return {category: 1 / len(categories) for category in categories}


def leaderboard(sizes: Mapping[str, int]) -> dict[str, Weights]:
    """Weights of the rows whose categories were all evaluated: v3 of bfcl-eval 2025.7.17, v4 of 2026.3.23."""
    rows: dict[str, Weights] = {}
    has_non_live, has_live, has_multi_turn = (
        all(sizes.get(category) for category in group) for group in (NON_LIVE, LIVE, MULTI_TURN)
    )
    non_live_ast = [_equal(group) for group in _NON_LIVE_AST]
    if has_non_live:
        rows["v3 non-live"] = _mean(*non_live_ast, {"irrelevance": 1.0})
    if has_live:
        rows["v3 live"] = _by_size(LIVE, sizes)
    if has_non_live and has_live:
        rows["v3 single-turn"] = _mean(rows["v3 non-live"], rows["v3 live"])
    if has_multi_turn:
        rows["multi-turn"] = _equal(MULTI_TURN)
    if has_non_live and has_live and has_multi_turn:
        rows["v3 overall"] = _mean(rows["v3 non-live"], rows["v3 live"], rows["multi-turn"])
    if has_non_live:
        rows["v4 non-live"] = _mean(*non_live_ast)
    if has_live:
        rows["v4 live"] = _by_size(_LIVE_AST, sizes)
    if has_non_live and has_live:
        rows["v4 irrelevance"] = _equal(("irrelevance", "live_irrelevance"))
    if has_non_live and has_live and has_multi_turn:
        overall: Weights = {}
        for name, share in _V4_SHARES.items():
            for category, weight in rows[name].items():
                overall[category] = overall.get(category, 0.0) + weight * share / (100 - AGENTIC_SHARE)
        rows["v4 overall without agentic"] = overall
    return rows
