"""Fixed subsets of a category."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

SUBSETS = ("even", "shortest")


def choose(entries: Sequence[Mapping[str, Any]], most: int | None, subset: str) -> list[Mapping[str, Any]]:
    """
    A fixed subset of the entries of a category.

    Args:
        entries (`Sequence[Mapping]`):
            Entries, in BFCL's order.
        most (`int`, *optional*):
            How many to keep at most; all by default.
        subset (`str`):
            `"even"`: evenly spaced. `"shortest"`: those whose question and functions have the fewest characters as JSON,
            for a model that is slow or has a short context; their scores say nothing of the others.

    Returns:
        `list[Mapping]`:
            Entries, in BFCL's order. Those that no answer can satisfy stay in: they are part of the benchmark.
    """
    if most is None or most >= len(entries):
        return list(entries)
    if subset == "even":
        return [entries[position * len(entries) // most] for position in range(most)]
    lengths = [len(json.dumps([entry["question"], entry["function"]])) for entry in entries]
    kept = sorted(sorted(range(len(entries)), key=lambda position: (lengths[position], position))[:most])
    return [entries[position] for position in kept]
