"""[`ACEBench`]: the benchmark as a suite, its entries sampled by us and scored by its own code."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from ...tool_calls.named_calls import write_calls
from ...utils.options import option
from ..gold_sampler import GOLD
from ..official.checkout_suite import CheckoutSuite, OfficialScores
from ..official.checkouts import Repository
from ..official.text import Writer
from ..records import Item
from ..subsets import find_categories
from ..suite import Conversation
from .data import GROUPS, LANGUAGES, MULTI_TURN, NORMAL, SPECIAL, Entry, Prompts, data_files, read_entries
from .scoring import CODE, score_answers

_WEIGHTS = {"normal": 0.578, "special": 0.2676}  # official; the agent part has the other 0.1545


@dataclass(kw_only=True)
class ACEBench(CheckoutSuite):
    """ACEBench, its normal and special parts, scored by the official code of a checkout."""

    name: ClassVar[str] = "acebench"
    repository: ClassVar[Repository] = Repository(
        "ACEBench", "https://github.com/ACEBench/ACEBench", "e6db74b735ead22c24f27367606a9408573b848f"
    )
    package: ClassVar[str] = "egpo_trl.evaluation.acebench"
    extra: ClassVar[str] = "acebench"
    write: ClassVar[Writer] = staticmethod(write_calls)
    imports: ClassVar[tuple[str, ...]] = ("pandas", "openpyxl")

    language: str = option("Language of the data.", "en", LANGUAGES)
    categories: str = option(
        "Categories or groups (normal, special, atom, single_turn, multi_turn), with commas between; not the agent part.",
        "normal,special",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._chosen = find_categories(self.categories, GROUPS, NORMAL + SPECIAL)

    def needed_files(self) -> Sequence[str]:
        data = (file for category in self._chosen for file in data_files(self.language, category))
        return (*CODE, *data)

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts(self.checkout.path, self.language)

    @cached_property
    def _entries(self) -> dict[str, list[Entry]]:
        return {name: read_entries(self.checkout.path, self.language, name) for name in self._chosen}

    def items(self) -> Sequence[Item]:
        """The entries; in the multi-turn categories the dialogues, whose turns are asked one after the other."""
        make_row = self._prompts.official_row if self.is_official else self._prompts.row
        items = []
        for category, entries in self._entries.items():
            units: dict[str, list[dict[str, Any]]] = {}
            for entry in entries:
                where = f"ACEBench entry {entry.id!r} ({self.language})"
                row = self.named(where, make_row, entry, category)
                row[GOLD] = self.named(where, self._prompts.reference, entry, category)
                units.setdefault(entry.dialogue if category in MULTI_TURN else entry.id, []).append(row)
            items += [Item(f"{self.language}_{name}", category, {"turns": rows}) for name, rows in units.items()]
        return self.choose(items)

    def conversation(self, item: Item) -> Conversation:
        for row in item.row["turns"]:  # noqa: UP028 - a list takes no `send`
            yield row

    def rows(self, item: Item) -> Sequence[Mapping[str, Any]]:
        turns: Sequence[Mapping[str, Any]] = item.row["turns"]
        return turns

    def judge(self, ids: Collection[str], answers: Mapping[str, str], folder: Path) -> OfficialScores:
        entries = {
            category: chosen
            for category, every in self._entries.items()
            if (chosen := [entry for entry in every if entry.id in ids])
        }
        return score_answers(self.checkout.path, self.language, entries, answers, self.scorer_timeout, folder)

    def aggregates(self, sizes: Mapping[str, int]) -> Mapping[str, Mapping[str, float]]:
        """The official sums of groups that were evaluated whole; the overall one is scaled to 1 without the agent part."""
        rows = {
            group: dict.fromkeys(categories, 1 / len(categories))
            for group, categories in GROUPS.items()
            if all(category in sizes for category in categories)
        }
        if all(group in rows for group in _WEIGHTS):
            scale = sum(_WEIGHTS.values())
            rows["overall without agent"] = {
                category: weight / scale / len(GROUPS[group])
                for group, weight in _WEIGHTS.items()
                for category in GROUPS[group]
            }
        return rows

    def official_notes(self, categories: Collection[str]) -> list[str]:
        return [
            f"Language {self.language}. In the multi-turn categories n counts dialogues, right if every turn is. The "
            "agent part is not covered: its user is a strong language model. No row is the official `Summary`, which "
            "needs that part."
        ]
