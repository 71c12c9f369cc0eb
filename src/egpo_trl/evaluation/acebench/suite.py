"""[`ACEBench`]: the benchmark as a suite, its entries sampled by us and scored by its own code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from ...tool_calls.named_calls import write_calls
from ..gold_sampler import GOLD
from ..official.checkout_suite import CheckoutSuite
from ..official.checkouts import Repository
from ..official.text import OfficialText
from ..records import Item, Sample, Scored
from ..suite import Conversation
from ..summary import Summary
from .data import GROUPS, LANGUAGES, MULTI_TURN, Entry, Prompts, data_files, find_categories, read_entries
from .scoring import CODE, OfficialScores, accuracy_of, score_answers

_WEIGHTS = {"normal": 0.578, "special": 0.2676}  # official; the agent part has the other 0.1545


@dataclass(kw_only=True)
class ACEBench(CheckoutSuite):
    """
    ACEBench, its normal and special parts, scored by the official code of a checkout.

    Args:
        language (`str`, *optional*, defaults to `"en"`):
            `"en"` or `"zh"`.
        categories (`str`, *optional*, defaults to `"normal,special"`):
            Categories, or groups of them (`normal`, `special`, `atom`, `single_turn`, `multi_turn`), with commas
            between.
    """

    name: ClassVar[str] = "acebench"
    repository: ClassVar[Repository] = Repository(
        "ACEBench", "https://github.com/ACEBench/ACEBench", "e6db74b735ead22c24f27367606a9408573b848f"
    )
    package: ClassVar[str] = "egpo_trl.evaluation.acebench"
    extra: ClassVar[str] = "acebench"
    imports: ClassVar[tuple[str, ...]] = ("pandas", "openpyxl")

    language: str = field(default="en", metadata={"help": "Language of the data.", "choices": LANGUAGES})
    categories: str = field(
        default="normal,special",
        metadata={
            "help": "Categories or groups (normal, special, atom, single_turn, multi_turn), with commas between."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.language not in LANGUAGES:
            raise ValueError(f"language must be one of {LANGUAGES}, got {self.language!r}.")
        self._chosen = find_categories(self.categories)
        self._scores: list[OfficialScores] = []
        self._gold: OfficialScores | None = None

    def needed_files(self) -> Sequence[str]:
        """See [`CheckoutSuite.needed_files`]."""
        data = (file for category in self._chosen for file in data_files(self.language, category))
        return (*CODE, *data)

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts(self.checkout.path, self.language)

    @cached_property
    def _entries(self) -> dict[str, list[Entry]]:
        return {name: read_entries(self.checkout.path, self.language, name) for name in self._chosen}

    def items(self) -> Sequence[Item]:
        """
        The entries; in the multi-turn categories the dialogues, whose turns are asked one after the other, each with
        the history that the benchmark gives it.

        Returns:
            `Sequence[Item]`:
                Items whose `row` has the canonical rows as `turns`, each with its reference as `gold`.
        """
        make_row = self._prompts.official_row if self.is_official else self._prompts.row
        items = []
        for category, entries in self._entries.items():
            units: dict[str, list[dict[str, Any]]] = {}
            for entry in entries:
                try:
                    row = {**make_row(entry, category), GOLD: self._prompts.reference(entry, category)}
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ValueError(
                        f"ACEBench entry {entry.id!r} ({self.language}): {type(error).__name__}: {error}. Restore the "
                        "file from the repository."
                    ) from None
                units.setdefault(entry.dialogue if category in MULTI_TURN else entry.id, []).append(row)
            items += [Item(f"{self.language}_{name}", category, {"turns": rows}) for name, rows in units.items()]
        return self.choose(items)

    def conversation(self, item: Item) -> Conversation:
        """One step for each turn; see [`items`]."""
        for row in item.row["turns"]:  # noqa: UP028 - a list takes no `send`
            yield row

    def score(self, samples: Sequence[Sample], output_dir: Path) -> Sequence[Scored]:
        """
        Score with the official code: the references, and each sample of the items as a model of its own.

        Args:
            samples (`Sequence[Sample]`):
                All samples.
            output_dir (`Path`):
                Gets the official result and score files, in `official/gold` and `official/sample_<number>`.

        Returns:
            `Sequence[Scored]`:
                The score of a dialogue is 1 if no turn is wrong.
        """
        rows = {row["id"]: row for sample in samples for row in sample.item.row["turns"]}
        entries = {
            category: chosen
            for category, every in self._entries.items()
            if (chosen := [entry for entry in every if entry.id in rows])
        }
        folder = output_dir / "official"

        def judge(answers: Mapping[str, str], name: str) -> OfficialScores:
            return score_answers(
                self.checkout.path, self.language, entries, answers, self.scorer_timeout, folder / name
            )

        self._gold = judge({entry_id: row[GOLD] for entry_id, row in rows.items()}, GOLD)
        text = OfficialText(self.prompts, write_calls)
        self._scores, scored = [], []
        for number in sorted({sample.number for sample in samples}):
            own = [sample for sample in samples if sample.number == number]
            answers = dict.fromkeys(rows, "")
            for sample in (one for one in own if one.unscorable is None):
                for row, completion in zip(sample.item.row["turns"], sample.completions, strict=True):
                    answers[row["id"]] = text.of(completion, row["tools"])
            result = judge(answers, f"sample_{number}")
            self._scores.append(result)
            scored += [_scored(sample, result.verdicts) for sample in own]
        return scored

    def aggregates(self, sizes: Mapping[str, int]) -> Mapping[str, Mapping[str, float]]:
        """
        The official sums of those groups whose categories were all evaluated: unweighted means of the categories, and
        the official weights of the normal and the special part, scaled to 1 without the agent part.

        Args:
            sizes (`Mapping[str, int]`):
                Items of each category.

        Returns:
            `Mapping[str, Mapping[str, float]]`:
                Weights by row.
        """
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

    def summarize(self, scored: Sequence[Scored]) -> Summary:
        """See [`Suite.summarize`]; with the scores of the references, and what the official code printed."""
        summary = super().summarize(scored)
        if self._gold is None:
            return summary
        gold = {
            category: accuracy_of(category, self._gold.verdicts_of(category)) for category in self._gold.accuracies
        }
        failures = {entry_id: why for entry_id, why in self._gold.verdicts.items() if why != "correct"}
        official = [{"accuracy": dict(one.accuracies), "sums": dict(one.aggregates)} for one in self._scores]
        note = (
            f"Language {self.language}. In the multi-turn categories n counts dialogues, right if every turn is. The "
            "agent part is not covered: its user is a strong language model. No row is the official `Summary`, which "
            "needs that part."
        )
        return self.add_gold(summary, gold, failures, official, self._gold.protections, [note])


def _scored(sample: Sample, verdicts: Mapping[str, str]) -> Scored:
    own = [verdicts[row["id"]] for row in sample.item.row["turns"]]
    reason = next((verdict for verdict in own if verdict != "correct"), "correct")
    return Scored(sample.item.id, sample.item.category, sample.number, float(reason == "correct"), reason)
