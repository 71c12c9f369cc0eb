"""Fixed subsets of items, for models that are slow or have short contexts."""

import json
from collections import defaultdict
from collections.abc import Sequence

from .records import Item

SUBSETS = ("even", "shortest")


def choose_items(items: Sequence[Item], most: int | None, subset: str) -> list[Item]:
    """
    A fixed subset of the items of each category.

    Args:
        items (`Sequence[Item]`):
            Items.
        most (`int`, *optional*):
            How many of each category to keep at most; all by default.
        subset (`str`):
            `"even"`: evenly spaced. `"shortest"`: those whose rows have the fewest characters as JSON; their scores say
            nothing of the others.

    Returns:
        `list[Item]`:
            Items in their order.
    """
    if most is None:
        return list(items)
    places: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[item.category].append(place)
    kept: list[int] = []
    for own in places.values():
        if subset == "shortest":
            kept += sorted(own, key=lambda place: (len(json.dumps(items[place].row, ensure_ascii=False)), place))[
                :most
            ]
        else:
            count = min(most, len(own))
            kept += [own[number * len(own) // count] for number in range(count)]
    return [items[place] for place in sorted(kept)]
