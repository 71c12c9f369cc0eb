"""Chooses fixed subsets of items, for models that are slow or have short contexts."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from .records import Item

SUBSETS = ("even", "shortest")
Entry = TypeVar("Entry")


def find_categories(names: str, groups: Mapping[str, Sequence[str]], known: Sequence[str]) -> tuple[str, ...]:
    """Categories that a list with commas names, alone or by group, in the order of `known`."""
    wanted: set[str] = set()
    choices = ", ".join((*groups, *known))
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name not in groups and name not in known:
            raise ValueError(f"categories: {name!r} is unknown or not evaluated here; choose among {choices}.")
        wanted.update(groups.get(name, (name,)))
    if not wanted:
        raise ValueError(f"categories must name at least one of {choices}.")
    return tuple(category for category in known if category in wanted)


def choose(
    entries: Sequence[Entry], most: int | None, subset: str, asked: Callable[[Entry], Any] = lambda entry: entry
) -> list[Entry]:
    """At most `most` entries, always the same: evenly spaced, or the `"shortest"` by the JSON of what is `asked`."""
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
