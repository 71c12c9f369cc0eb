"""The tree of shared prefixes: every token sees exactly its own row, and predicts one token."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.grpo.prefix_tree import build_pack, common_prefix, sort_rows, split_into_runs

ROWS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=8)


@given(ROWS)
@settings(max_examples=400, deadline=None)
def test_every_token_sees_its_own_row(rows):
    rows = {f"row {key}": np.array(row) for key, row in enumerate(rows)}
    pack = build_pack(rows)
    predicts: dict[int, int] = {}
    for key, row in rows.items():
        places = pack.places[key]
        assert len(places) >= len(row) - 1  # the last token predicts nothing
        for at, place in enumerate(places):
            seen = [i for i in range(place + 1) if pack.enter[i] <= pack.enter[place] < pack.leave[i]]
            assert pack.tokens[seen].tolist() == row[: at + 1].tolist()
            assert pack.positions[seen].tolist() == list(range(at + 1))
            if at + 1 < len(row):
                assert predicts.setdefault(place, row[at + 1]) == row[at + 1]


@given(ROWS)
@settings(max_examples=400, deadline=None)
def test_runs_are_the_cheapest(rows):
    """Against all ways to cut the sorted rows; a pack is never longer than its cost assumed."""
    arrays = [np.array(row) for row in rows]
    order, shared = sort_rows(arrays)
    lengths = [len(arrays[at]) for at in order]

    def tokens(start: int, end: int) -> int:
        return sum(lengths[start:end]) - sum(max(0, shared[at] - 1) for at in range(start + 1, end))

    def cost(count: int) -> float:
        return count + 0.02 * count * count

    def cheapest(start: int) -> float:
        if start == len(lengths):
            return 0.0
        ends = range(start + 1, len(lengths) + 1)
        return min(cost(tokens(start, end)) + cheapest(end) for end in ends)

    runs = split_into_runs(lengths, shared, cost, 10**6)
    assert [run[0] for run in runs] == [0, *(run[1] for run in runs[:-1])]
    assert sum(cost(tokens(*run)) for run in runs) <= cheapest(0) + 1e-9
    for start, end in runs:
        pack = build_pack({at: arrays[at] for at in order[start:end]})
        assert len(pack.tokens) <= tokens(start, end)


@given(ROWS, st.integers(1, 30))
def test_runs_fit(rows, limit):
    arrays = [np.array(row) for row in rows]
    order, shared = sort_rows(arrays)
    for start, end in split_into_runs([len(arrays[at]) for at in order], shared, float, limit):
        pack = build_pack({at: arrays[at] for at in order[start:end]})
        assert len(pack.tokens) <= limit or end - start == 1


def test_common_prefix():
    assert common_prefix(np.array([1, 2, 3]), np.array([1, 2, 4])) == 2
    assert common_prefix(np.array([1, 2]), np.array([1, 2, 4])) == 2
    assert common_prefix(np.array([5]), np.array([1])) == 0
