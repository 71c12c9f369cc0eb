"""Fixed subsets of items."""

import pytest

from egpo_trl.evaluation.records import Item
from egpo_trl.evaluation.subsets import choose_items

ITEMS = [Item(f"{c}{i}", c, {"text": "x" * ((7 * i) % 10)}) for c, n in (("a", 10), ("b", 2)) for i in range(n)]


@pytest.mark.parametrize(
    ("most", "subset", "expected"),
    [
        (None, "even", [item.id for item in ITEMS]),
        (4, "even", "a0 a2 a5 a7 b0 b1".split()),
        (3, "shortest", "a0 a3 a6 b0 b1".split()),
        (99, "shortest", [item.id for item in ITEMS]),
    ],
)
def test_each_category_gives_its_share_in_order(most, subset, expected):
    assert [item.id for item in choose_items(ITEMS, most, subset)] == expected
