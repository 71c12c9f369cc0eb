"""Packs rows that begin alike, so that each shared prefix is computed once.

Rows are token sequences. Sorted, rows that share a prefix are neighbours, and a run of neighbours becomes one pack: the
tree of their tokens, laid out in one sequence. Where rows part ways, each branch begins with a copy of the last shared
token, so that every position of a pack predicts one token only.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

Tokens = np.ndarray
MAX_ROWS = 256  # of one pack: the tree is built by recursion


class Pack(NamedTuple):
    """
    A tree of rows in one sequence.

    `tokens` and `positions` (position in the row) have shape (N,); so have `enter` and `leave`: a token at i sees a token
    at j <= i if `enter[j] <= enter[i] < leave[j]`. `places` maps each row to the index in the pack of each of its tokens,
    except for those that no scored token needs: the last one, whose prediction is not asked for, may be missing.
    """

    tokens: np.ndarray
    positions: np.ndarray
    enter: np.ndarray
    leave: np.ndarray
    places: dict[int, np.ndarray]


def common_prefix(a: Tokens, b: Tokens) -> int:
    """Number of tokens that two sequences begin with alike."""
    length = min(len(a), len(b))
    different = np.flatnonzero(a[:length] != b[:length])
    return int(different[0]) if len(different) else length


def sort_rows(rows: Sequence[Tokens]) -> tuple[list[int], list[int]]:
    """Order that makes rows with a common prefix neighbours, and the common prefix of each with the one before it."""
    order = sorted(range(len(rows)), key=lambda row: rows[row].tolist())
    shared = [0] + [common_prefix(rows[a], rows[b]) for a, b in pairwise(order)]
    return order, shared[: len(order)]


def split_into_runs(
    lengths: Sequence[int], shared: Sequence[int], cost: Callable[[int], float], max_tokens: int
) -> list[tuple[int, int]]:
    """
    Cut sorted rows into the runs whose packs cost least, by dynamic programming.

    A row adds to the pack of its neighbours what it does not share, and the copy of the last shared token. `cost` takes the
    tokens of a pack and grows at least linearly. A single row may exceed `max_tokens`. Returns (start, end) of each run.
    """
    best = [0.0]
    cuts = [0]
    for end in range(1, len(lengths) + 1):
        tokens, found, cut = 0, float("inf"), end - 1
        for start in range(end - 1, -1, -1):
            # Row `start` becomes the first of the run: it is whole, and its successor shares with it.
            tokens += lengths[start]
            if start + 1 < end:
                tokens -= max(0, shared[start + 1] - 1)
                if tokens > max_tokens or end - start > MAX_ROWS:
                    break
            total = best[start] + cost(tokens)
            if total < found:
                found, cut = total, start
            if start and shared[start] <= 1:
                break  # the row before shares nothing: one pack for both could only be wider
        best.append(found)
        cuts.append(cut)
    runs, end = [], len(lengths)
    while end:
        runs.append((cuts[end], end))
        end = cuts[end]
    return runs[::-1]


def build_pack(rows: dict[int, Tokens]) -> Pack:
    """The tree of some rows, depth first. `rows` maps any keys to sequences of at least one token."""
    tokens: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    enter: list[np.ndarray] = []
    leaves: list[int] = []  # number of nodes visited when each node is left
    places: dict[int, list[np.ndarray]] = {key: [] for key in rows}
    order, shared = sort_rows(list(rows.values()))
    keys = [list(rows)[index] for index in order]
    used = 0

    def add(first: int, last: int, start: int) -> None:
        """Add the subtree of the sorted rows `first` to `last`, which agree on all tokens before `start` and on it."""
        nonlocal used
        here = keys[first : last + 1]
        agree = min([len(rows[here[0]]), *shared[first + 1 : last + 1]])
        is_leaf = all(len(rows[key]) == agree for key in here)
        end = agree if is_leaf else max(start, agree - 1)
        number = len(leaves)
        leaves.append(0)
        if end > start:
            part = np.arange(start, end)
            tokens.append(rows[here[0]][start:end])
            positions.append(part)
            enter.append(np.full(len(part), number))
            for key in here:
                places[key].append(used + np.arange(len(part)))
            used += len(part)
        if not is_leaf:
            # Rows that end here need nothing more: their last token predicts nothing. The others branch.
            inner = [at for at in range(first, last + 1) if len(rows[keys[at]]) > agree]
            begin = inner[0]
            for at in inner[1:]:
                if shared[at] <= agree:
                    add(begin, at - 1, end)
                    begin = at
            add(begin, inner[-1], end)
        leaves[number] = len(leaves)

    add(0, len(keys) - 1, 0)
    entered = np.concatenate(enter)
    return Pack(
        np.concatenate(tokens),
        np.concatenate(positions),
        entered,
        np.array(leaves)[entered],
        {key: np.concatenate([np.empty(0, dtype=int), *parts]) for key, parts in places.items()},
    )
