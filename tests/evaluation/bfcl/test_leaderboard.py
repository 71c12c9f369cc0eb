"""The leaderboards' weights beside the published formulas, worked out in another way."""

from statistics import mean

import pytest

from egpo_trl.evaluation.bfcl.categories import CATEGORIES, LIVE, MULTI_TURN, NON_LIVE
from egpo_trl.evaluation.bfcl.leaderboard import leaderboard
from tests.evaluation.bfcl.test_gold import COUNTS

SCORES = {category: (7 * position + 3) % 23 / 23 for position, category in enumerate(CATEGORIES)}


def weigh(weights):
    assert sum(weights.values()) == pytest.approx(1)
    return sum(weight * SCORES[category] for category, weight in weights.items())


def test_both_versions():
    rows = {name: weigh(weights) for name, weights in leaderboard(COUNTS).items()}
    s = SCORES
    simple = mean([s["simple_python"], s["simple_java"], s["simple_javascript"]])
    ast = [simple, s["multiple"], s["parallel"], s["parallel_multiple"]]
    pooled = [s[category] for category in LIVE for _ in range(COUNTS[category])]
    multi_turn = mean(s[category] for category in MULTI_TURN)
    v3_non_live, v3_live = mean([*ast, s["irrelevance"]]), mean(pooled)
    live_ast = [s[category] for category in LIVE[:4] for _ in range(COUNTS[category])]
    irrelevance = mean([s["irrelevance"], s["live_irrelevance"]])
    expected = {
        "v3 non-live": v3_non_live,
        "v3 live": v3_live,
        "v3 single-turn": mean([v3_non_live, v3_live]),
        "multi-turn": multi_turn,
        "v3 overall": mean([v3_non_live, v3_live, multi_turn]),
        "v4 non-live": mean(ast),
        "v4 live": mean(live_ast),
        "v4 irrelevance": irrelevance,
        "v4 overall without agentic": (10 * mean(ast) + 10 * mean(live_ast) + 10 * irrelevance + 30 * multi_turn) / 60,
    }
    assert rows == pytest.approx(expected)
    assert list(rows) == list(expected)


def test_rows_need_all_of_their_categories():
    assert leaderboard({}) == {}
    assert list(leaderboard(dict.fromkeys(MULTI_TURN, 3))) == ["multi-turn"]
    assert list(leaderboard(dict.fromkeys(NON_LIVE, 3))) == ["v3 non-live", "v4 non-live"]
    assert "v3 single-turn" in leaderboard(dict.fromkeys(NON_LIVE + LIVE, 3))
    assert leaderboard(dict.fromkeys(MULTI_TURN[:3], 3)) == {}
