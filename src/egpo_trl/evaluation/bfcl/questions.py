"""Questions of BFCL as items of the suite."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...data.sources.bfcl import convert_record
from ..records import Item
from .categories import MULTI_TURN
from .sandbox import Sandbox


def single_turn_row(entry: Mapping[str, Any]) -> dict[str, Any]:
    answers = entry.get("ground_truth", [])
    (row,) = convert_record({**entry, "ground_truth": answers}, reference="bfcl")
    return {**row, "id": entry["id"]}


def load_items(
    sandbox: Sandbox, categories: Sequence[str], most: int | None, subset: str, official_prompt: bool
) -> list[Item]:
    items = []
    for category in categories:
        for entry in sandbox.ask("entries", category=category, most=most, subset=subset):
            if category in MULTI_TURN:
                kept = ("id", "question", "function", "missed_function")
                row = {name: entry[name] for name in kept if name in entry}
            else:
                row = single_turn_row(entry)
                if official_prompt:
                    row["prompt"] = sandbox.ask("prompt", id=entry["id"])
            items.append(Item(entry["id"], category, row))
    return items
