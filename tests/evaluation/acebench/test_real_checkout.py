"""The official code and data, from a checkout that the environment variable EGPO_ACEBENCH names."""

import os
import shutil
from pathlib import Path

import pytest

from egpo_trl.evaluation.acebench.data import NORMAL, SPECIAL
from egpo_trl.evaluation.acebench.suite import ACEBench
from tests.evaluation.conversations import scores_of

# Gold answers at the tested commit, as `egpo-trl evaluate acebench --model gold` reports them.
GOLD = {
    "en": dict(zip(NORMAL + SPECIAL, (0.92, 0.86, 0.76, 0.74, 0.96, 0.98, 1, 1, 1, 1, 0.66, 1, 1, 1, 1), strict=True)),
    "zh": dict(zip(NORMAL + SPECIAL, (0.99, 0.97, 0.98, 0.98, 0.96, 1, 1, 1, 1, 0.98, 1, 0.98, 1, 1, 1), strict=True)),
}

if "EGPO_ACEBENCH" in os.environ:  # names a checkout; there is no such test otherwise

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_gold_answers_in_a_real_checkout(language, tmp_path):
        suite = ACEBench(repo=os.environ["EGPO_ACEBENCH"], language=language)
        scored, summary = scores_of(suite, lambda row: row["gold"], tmp_path)
        assert suite.checkout.changed == {}
        assert len(scored) == 850
        assert {name: round(summary.gold[name], 3) for name in GOLD[language]} == GOLD[language]
        assert {row.category: row.score for row in summary.rows} == pytest.approx(dict(summary.gold))
        official = summary.extra["official"][0]
        assert official["accuracy"] == GOLD[language]
        for name, value in official["sums"].items():
            if name != "Summary":
                assert summary.gold[name] == pytest.approx(value, abs=6e-4)

    @pytest.mark.parametrize(("language", "failures", "left"), [("en", 69, 2), ("zh", 10, 6)])
    def test_most_references_that_fail_do_so_for_their_blanks(language, failures, left, tmp_path):
        copy = Path(shutil.copytree(os.environ["EGPO_ACEBENCH"], tmp_path / "ACEBench"))
        script = copy / "eval_main.py"
        kept = script.read_text().replace('model_result_item_raw = "".join(model_result_item_raw.split())', "pass")
        for source, expected in ((script.read_text(), failures), (kept, left)):
            script.write_text(source)
            suite = ACEBench(repo=str(copy), language=language, categories="normal")
            _, summary = scores_of(suite, lambda row: "", tmp_path)
            assert len(summary.extra["gold_failures"]) == expected
