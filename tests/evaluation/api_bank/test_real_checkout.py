"""The official code and data, from a checkout that the environment variable EGPO_API_BANK names."""

import os

import pytest

from egpo_trl.evaluation.api_bank.suite import APIBank
from tests.evaluation.conversations import scores_of

if "EGPO_API_BANK" in os.environ:  # there is no such test otherwise

    @pytest.mark.parametrize(
        ("level", "right", "gold"),
        [
            (1, 337, {"calls": 337 / 389, "web": 0.0, "level 1": 337 / 399}),
            (2, 80, {"calls": 80 / 90, "tool_search": 0.0, "level 2": 80 / 135}),
        ],
    )
    def test_gold_answers_in_a_real_checkout(level, right, gold, tmp_path):
        suite = APIBank(repo=os.environ["EGPO_API_BANK"], level=level)
        scored, summary = scores_of(suite, lambda row: row["gold"], tmp_path)
        assert suite.checkout.changed == {}
        assert summary.gold == pytest.approx(gold)
        assert sum(score for score, _ in scored.values()) == right
        assert summary.extra["official"] == [{"total": len(scored), "correct": right}]
