"""Fixed subsets of items, for models that are slow or have short contexts."""

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
    A fixed subset of the entries of one category.

    Args:
        entries (`Sequence`):
            Entries.
        most (`int`, *optional*):
            How many to keep at most; all by default.
        subset (`str`):
            `"even"`: evenly spaced. `"shortest"`: those that ask with the fewest characters as JSON; their scores say
            nothing of the others.
        asked (`Callable`, *optional*):
            What of an entry is measured for `"shortest"`, as JSON values; by default all of it.

    Returns:
        `list`:
            Entries in their order. Those that no answer can satisfy stay in: they are part of the benchmark.
    """
    if most is None or most >= len(entries):
        return list(entries)
    if subset == "even":
        return [entries[place * len(entries) // most] for place in range(most)]
    lengths = [len(json.dumps(asked(entry), ensure_ascii=False)) for entry in entries]
    return [entries[place] for place in sorted(sorted(range(len(entries)), key=lengths.__getitem__)[:most])]


def choose_items(items: Sequence[Item], most: int | None, subset: str) -> list[Item]:
    """
    A fixed subset of the items of each category, see [`choose`]; rows are what is measured.

    Args:
        items (`Sequence[Item]`):
            Items of any categories.
        most (`int`, *optional*):
            How many of each category to keep at most; all by default.
        subset (`str`):
            Which ones.

    Returns:
        `list[Item]`:
            Items in their order.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[item.category].append(place)
    kept = [choose(own, most, subset, lambda place: items[place].row) for own in places.values()]
    return [items[place] for place in sorted(place for own in kept for place in own)]
