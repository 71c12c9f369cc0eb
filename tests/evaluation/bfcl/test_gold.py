"""Right answers as model output: all of them score, but for the entries that nothing sensible satisfies."""

import pytest

from egpo_trl.evaluation.bfcl.categories import CATEGORIES, MULTI_TURN, SINGLE_TURN, UNSATISFIABLE
from tests.evaluation.bfcl.gold import PICKS, begin, drive, gold_texts, hermes, pythonic

COUNTS = dict(zip(CATEGORIES, (400, 100, 50, 200, 200, 200, 240, 258, 1053, 16, 24, 884, 16, *[200] * 4), strict=True))


def failures(suite, items, entries, plain, write, folder, pick=0):
    samples = [drive(suite, item, gold_texts(entries[item.id], plain[item.id], write, pick)) for item in items]
    return {one.id for one in suite.score(samples, folder) if one.score != 1.0}


def test_all_single_turn_categories(tmp_path, entries, plain_entries):
    suite = begin(categories="single_turn")
    items = suite.items()
    sizes = {category: sum(item.category == category for item in items) for category in SINGLE_TURN}
    assert sizes == {category: COUNTS[category] for category in SINGLE_TURN}
    failed = {item.id for item in items}
    for pick in range(len(PICKS)):  # what one choice of acceptable values does not satisfy, another may
        left = [item for item in items if item.id in failed]
        failed = failures(suite, left, entries, plain_entries, hermes, tmp_path, pick)
        assert pick > 0 or len(failed) == 10
    assert failed == UNSATISFIABLE


def test_python_categories_in_the_pythonic_syntax(tmp_path, entries, plain_entries):
    python = [category for category in SINGLE_TURN if "java" not in category]
    suite = begin(categories=",".join(python), bfcl_handler="prompting", max_per_category=60)
    failed = failures(suite, suite.items(), entries, plain_entries, pythonic, tmp_path)
    assert failed <= UNSATISFIABLE | {"parallel_multiple_26"}  # which other acceptable values satisfy


@pytest.mark.parametrize(
    ("write", "handler", "most"),
    [
        (hermes, "fc", 8),
        (pythonic, "prompting", 8),
        pytest.param(hermes, "fc", None, marks=pytest.mark.slow),
        pytest.param(pythonic, "prompting", None, marks=pytest.mark.slow),
    ],
)
def test_multi_turn_categories(tmp_path, entries, plain_entries, write, handler, most):
    suite = begin(categories="multi_turn", bfcl_handler=handler, max_per_category=most)
    items = suite.items()
    assert len(items) == len(MULTI_TURN) * (most or 200)
    assert failures(suite, items, entries, plain_entries, write, tmp_path) == set()
