"""Chooses fixed subsets of items, for models that are slow or have short contexts."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .records import Item

SUBSETS = ("even", "shortest")
Entry = TypeVar("Entry")


def check_subset(most: int | None, subset: str) -> None:
    """Raise `ValueError` if the options `max_per_category` and `subset` of a suite name no subset."""
    if subset not in SUBSETS:
        raise ValueError(f"subset must be one of {SUBSETS}, got {subset!r}.")
    if most is not None and most < 1:
        raise ValueError(f"max_per_category must be at least 1, got {most}.")


def choose(
    entries: Sequence[Entry], most: int | None, subset: str, asked: Callable[[Entry], Any] = lambda entry: entry
) -> list[Entry]:
    """
    At most `most` entries of one category, always the same ones and in their order.

    `"even"`: evenly spaced. `"shortest"`: those that ask with the fewest characters as JSON, by `asked`; their scores say
    nothing of the others. Entries that no answer can satisfy stay in: they are part of the benchmark.
    """
    if most is None or most >= len(entries):
        return list(entries)
    if subset == "even":
        return [entries[place * len(entries) // most] for place in range(most)]
    lengths = [len(json.dumps(asked(entry), ensure_ascii=False)) for entry in entries]
    return [entries[place] for place in sorted(sorted(range(len(entries)), key=lengths.__getitem__)[:most])]


def choose_items(items: Sequence[Item], most: int | None, subset: str) -> list[Item]:
    """A fixed subset of the items of each category, see [`choose`]; rows are what is measured."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[item.category].append(place)
    kept = [choose(own, most, subset, lambda place: items[place].row) for own in places.values()]
    return [items[place] for place in sorted(place for own in kept for place in own)]
