"""Fixed subsets of items."""

import pytest

from egpo_trl.evaluation.records import Item
from egpo_trl.evaluation.subsets import choose, choose_items

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


def test_a_subset_of_one_category():
    entries = [{"id": f"x_{n}", "question": "q" * (10 - n), "function": []} for n in range(10)]
    assert choose(entries, None, "even") == choose(entries, 99, "shortest") == entries
    assert [entry["id"] for entry in choose(entries, 4, "even")] == ["x_0", "x_2", "x_5", "x_7"]
    assert [entry["id"] for entry in choose(entries, 3, "shortest")] == ["x_7", "x_8", "x_9"]
    assert [entry["id"] for entry in choose(entries, 3, "shortest", lambda entry: entry["id"])] == [
        "x_0",
        "x_1",
        "x_2",
    ]


def test_characters_are_counted_not_escapes():
    assert choose(["四个汉字", "eight ch"], 1, "shortest") == ["四个汉字"]
