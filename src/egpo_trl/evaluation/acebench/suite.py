"""ACEBench as a suite: its entries, sampled by us and scored by its own code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from ...tool_calls.calls import parse_tools
from ...tool_calls.named_calls import write_calls
from ..checkouts import Checkout, Repository, open_checkout, read_checksums
from ..official_text import OfficialText
from ..records import Item, Sample, Scored
from ..sampler import PromptFormat
from ..suite import Conversation, Suite
from ..summary import Summary
from .data import GROUPS, LANGUAGES, MULTI_TURN, NORMAL, SPECIAL, Entry, Prompts, find_categories, read_entries
from .scoring import CODE, OfficialScores, accuracy_of, score_answers

REPOSITORY = Repository("ACEBench", "https://github.com/ACEBench/ACEBench", "e6db74b735ead22c24f27367606a9408573b848f")
_WEIGHTS = {"normal": 0.578, "special": 0.2676}  # official; the agent part has the other 0.1545


@dataclass
class ACEBench(Suite):
    """
    ACEBench, its normal and special parts, scored by the official code of a checkout.

    Args:
        repo (`str`, *optional*):
            Checkout of the official repository.
        language (`str`, *optional*, defaults to `"en"`):
            `"en"` or `"zh"`.
        category (`str`, *optional*, defaults to `"normal,special"`):
            Categories or groups of them, separated by commas.
        official_prompt (`bool`, *optional*, defaults to `False`):
            Whether the prompts are those of the benchmark's own inference instead of those of training.
        scorer_timeout (`float`, *optional*, defaults to `600.0`):
            Longest duration of the official scorer, in seconds.
    """

    name: ClassVar[str] = "acebench"

    repo: str | None = None
    language: str = "en"
    category: str = "normal,special"
    official_prompt: bool = False
    scorer_timeout: float = 600.0

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise ValueError(f"--language must be one of {LANGUAGES}, got {self.language!r}.")
        if not self.scorer_timeout > 0:
            raise ValueError(f"--scorer_timeout must be more than 0 seconds, got {self.scorer_timeout!r}.")
        self._scores: list[OfficialScores] = []
        self._gold: OfficialScores | None = None

    def begin(self, prompts: PromptFormat) -> None:
        """See [`Suite.begin`]; the official prompt is one of messages, and goes with the native style only."""
        super().begin(prompts)
        if self.official_prompt and prompts.style != "native":
            raise ValueError("--official_prompt goes with --prompt_style native: it lists the functions itself.")

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Categories to evaluate."""
        return find_categories(self.category.replace(",", " ").split())

    @cached_property
    def checkout(self) -> Checkout:
        """The checkout, looked at once."""
        known = read_checksums("egpo_trl.evaluation.acebench")
        needed = dict.fromkeys(CODE)
        for category in self.categories:
            needed[f"data_all/data_{self.language}/data_{category}.json"] = None
            needed[f"data_all/data_{self.language}/possible_answer/data_{category}.json"] = None
        return open_checkout(self.repo, REPOSITORY, {name: known[name] for name in needed})

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts(self.checkout.path, self.language)

    @cached_property
    def _entries(self) -> dict[str, list[Entry]]:
        return {c: read_entries(self.checkout.path, self.language, c) for c in self.categories}

    def items(self) -> Sequence[Item]:
        """
        The entries; in the multi-turn categories the dialogues, whose turns are asked one after the other, each with
        the history that the benchmark gives it.

        Returns:
            `Sequence[Item]`:
                Items whose `row` has the canonical rows as `turns`.
        """
        make_row = self._prompts.official_row if self.official_prompt else self._prompts.row
        items = []
        for category, entries in self._entries.items():
            units: dict[str, list[dict[str, Any]]] = {}
            for entry in entries:
                try:
                    row = make_row(entry, category)
                    row["gold"] = self._prompts.reference(entry, category)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ValueError(f"ACEBench entry {entry.id!r} ({self.language}): {error}") from None
                units.setdefault(_unit(entry, category), []).append(row)
            items += [Item(f"{self.language}_{unit}", category, {"turns": rows}) for unit, rows in units.items()]
        return items

    def conversation(self, item: Item) -> Conversation:
        """One step for each turn; see [`items`]."""
        for row in item.row["turns"]:
            yield row

    def score(self, samples: Sequence[Sample], output_dir: Path) -> Sequence[Scored]:
        """
        Score with the official code: each sample of the items as a model of its own, and the references.

        Args:
            samples (`Sequence[Sample]`):
                All samples.
            output_dir (`Path`):
                Gets the official result and score files, in `official/sample_<number>` and `official/gold`.

        Returns:
            `Sequence[Scored]`:
                The score of a dialogue is 1 if no turn is wrong.
        """
        items = {sample.item.id: sample.item for sample in samples}
        rows = [row for item in items.values() for row in item.row["turns"]]
        asked = {row["id"] for row in rows}
        entries = {
            category: chosen
            for category, every in self._entries.items()
            if (chosen := [entry for entry in every if entry.id in asked])
        }
        self._gold = self._official(
            entries, {row["id"]: row["gold"] for row in rows}, output_dir / "official" / "gold"
        )
        text = OfficialText(self.prompts, write_calls)
        scored = []
        self._scores = []
        for number in sorted({sample.number for sample in samples}):
            own = [sample for sample in samples if sample.number == number]
            answers = dict.fromkeys(asked, "")
            for sample in own:
                for row, completion in zip(sample.item.row["turns"], sample.completions, strict=False):
                    if sample.unscorable is None:
                        answers[row["id"]] = text.of(completion, list(parse_tools(row["tools"])), row["tools"])
            result = self._official(entries, answers, output_dir / "official" / f"sample_{number}")
            self._scores.append(result)
            scored += [_scored(sample, result.verdicts) for sample in own]
        return scored

    def _official(
        self, entries: Mapping[str, Sequence[Entry]], answers: Mapping[str, str], keep: Path
    ) -> OfficialScores:
        keep.mkdir(parents=True, exist_ok=True)
        return score_answers(self.checkout.path, self.language, entries, answers, self.scorer_timeout, keep)

    def aggregates(self, sizes: Mapping[str, int]) -> Mapping[str, Mapping[str, float]]:
        """
        The official sums of those groups whose categories were all evaluated: unweighted means of the categories, and
        the official weights of the normal and special part, scaled to 1 without the agent part.

        Args:
            sizes (`Mapping[str, int]`):
                Items of each category.

        Returns:
            `Mapping[str, Mapping[str, float]]`:
                Weights by row.
        """
        rows: dict[str, dict[str, float]] = {}
        for name in ("atom", "single_turn", "multi_turn", "normal", "special"):
            if all(category in sizes for category in GROUPS[name]):
                rows[name] = {category: 1 / len(GROUPS[name]) for category in GROUPS[name]}
        if "normal" in rows and "special" in rows:
            scale = sum(_WEIGHTS.values())
            rows["overall without agent"] = {
                category: _WEIGHTS[name] / scale / len(GROUPS[name]) for name in _WEIGHTS for category in GROUPS[name]
            }
        return rows

    def summarize(self, scored: Sequence[Scored]) -> Summary:
        """
        The table, with the scores of the references beside it, and what the official code printed.

        Args:
            scored (`Sequence[Scored]`):
                All scores.

        Returns:
            [`Summary`]:
                Its `extra` has `checkout`, `official` (for each sample the official accuracies and sums) and `gold`.
        """
        summary = super().summarize(scored)
        if self._gold is None:
            return summary
        gold = {category: accuracy_of(category, _of(category, self._gold)) for category in self._gold.accuracies}
        for row in summary.rows:
            if row.weights is not None:
                gold[row.category] = sum(weight * gold[part] for part, weight in row.weights.items())
        return replace(
            summary,
            gold=gold,
            extra={
                "checkout": self.checkout.as_dict(),
                "prompt": "official" if self.official_prompt else self.prompts.style,
                "official": [{"accuracy": dict(one.accuracies), "sums": dict(one.aggregates)} for one in self._scores],
                "gold_failures": {name: why for name, why in self._gold.verdicts.items() if why != "correct"},
            },
            notes=(
                f"ACEBench ({self.language}), official scorer. The agent part is not covered, so that no row is the "
                "official `Summary`. In the multi-turn categories n counts dialogues, which are right if every turn "
                "is. Gold is what the benchmark's own references score.",
            ),
        )


def _unit(entry: Entry, category: str) -> str:
    return entry.dialogue if category in MULTI_TURN else entry.id


def _scored(sample: Sample, verdicts: Mapping[str, str]) -> Scored:
    own = [verdicts[row["id"]] for row in sample.item.row["turns"]]
    reason = next((verdict for verdict in own if verdict != "correct"), "correct")
    return Scored(sample.item.id, sample.item.category, sample.number, float(reason == "correct"), reason)


def _of(category: str, scores: OfficialScores) -> dict[str, str]:
    assert category in NORMAL + SPECIAL
    return {entry_id: verdict for entry_id, verdict in scores.verdicts.items() if entry_id.startswith(f"{category}_")}
