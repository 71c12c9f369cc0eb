"""Cuts the rows of a micro-batch into forward passes that hold a bounded number of tokens."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from .live_rows import even_runs


class RowSizes(NamedTuple):
    """Tokens of the prompt and of the completion of each row, and the number of its prompt where prefixes are shared."""

    prompts: Sequence[int]
    completions: Sequence[int]
    groups: Sequence[int] | None = None


def tokens_of_pass(rows: Sequence[int], sizes: RowSizes) -> int:
    """
    Tokens that a forward pass over some rows computes: packed, each prompt once and for every row its completion and a
    copy of the last prompt token; else all rows padded to the longest prompt and the longest completion.
    """
    if not rows:
        return 0
    if sizes.groups is None:
        return len(rows) * (max(sizes.prompts[row] for row in rows) + max(sizes.completions[row] for row in rows))
    packs = [
        sum(sizes.completions[row] + 1 for row in members) + sizes.prompts[members[0]]
        for members in (list(run) for _, run in groupby(rows, key=lambda row: sizes.groups[row]))  # type: ignore[index]
    ]
    return len(packs) * max(packs)


def passes_needed(rows: Sequence[int], sizes: RowSizes, max_tokens: int) -> int:
    """Fewest equal passes over rows in this order of which none exceeds `max_tokens`; one row a pass at the most."""
    for count in range(1, len(rows)):
        if all(tokens_of_pass(run, sizes) <= max_tokens for run in even_runs(rows, count)):
            return count
    return max(1, len(rows))


def deal(live: Sequence[int], others: Sequence[int], count: int) -> list[list[int]]:
    """
    The rows of each of `count` passes: live rows in order, and the others, which are not computed, spread over them.

    No pass is empty, though another process may have more live rows: `count` is at most the number of rows.
    """
    passes, rest = even_runs(live, count), list(others)
    for rows in passes:
        if not rows:
            rows.append(rest.pop())
    return [rows + more for rows, more in zip(passes, even_runs(rest, count), strict=True)]
