"""[`APIBank`]: the calls of levels 1 and 2 as a suite, sampled by us and scored by the benchmark's own code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ..gold_sampler import GOLD
from ..official.checkout_suite import CheckoutSuite
from ..official.checkouts import Repository
from ..official.text import OfficialText
from ..records import Item, Sample, Scored
from ..summary import Summary
from .data import (
    CATEGORIES,
    DIALOGUES,
    QUESTIONS,
    Question,
    make_official_row,
    make_row,
    read_questions,
    write_api_calls,
)
from .scoring import CODE, OfficialScores, score_answers


@dataclass(kw_only=True)
class APIBank(CheckoutSuite):
    """
    API-Bank, the calls of level 1 (functions given) and 2 (functions to be searched for), scored by the official code
    of a checkout.

    Args:
        level (`int`, *optional*, defaults to `1`):
            1 or 2.
    """

    name: ClassVar[str] = "api-bank"
    repository: ClassVar[Repository] = Repository(
        "API-Bank",
        "https://github.com/AlibabaResearch/DAMO-ConvAI",
        "5c38bb7d1d78c7a7f12aa415d620d6305dbe2078",
        "api-bank",
    )
    package: ClassVar[str] = "egpo_trl.evaluation.api_bank"
    extra: ClassVar[str] = "api-bank"
    imports: ClassVar[tuple[str, ...]] = ("rank_bm25", "nltk", "rouge", "requests", "tqdm")

    level: int = field(default=1, metadata={"help": "Level of the benchmark.", "choices": tuple(DIALOGUES)})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level not in DIALOGUES:
            raise ValueError(
                f"level must be one of {tuple(DIALOGUES)}, got {self.level!r}; level 3 has no automatic scorer."
            )
        self._scores: list[OfficialScores] = []
        self._gold: OfficialScores | None = None

    def needed_files(self) -> Sequence[str]:
        """See [`CheckoutSuite.needed_files`]."""
        return (*CODE, QUESTIONS[self.level], DIALOGUES[self.level])

    @cached_property
    def _questions(self) -> dict[str, Question]:
        return {question.id: question for question in read_questions(self.checkout.path, self.level)}

    def items(self) -> Sequence[Item]:
        """
        The calls to predict. Those that cannot be scored without a sentence encoder or the web have categories of their
        own, `tool_search` and `web`.

        Returns:
            `Sequence[Item]`:
                Items with canonical rows, each with its reference as `gold`.
        """
        make = make_official_row if self.is_official else make_row
        items = []
        for question in self._questions.values():
            try:
                row = {**make(question), GOLD: question.expected}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"API-Bank, question {question.number} of {question.file}: {type(error).__name__}: {error}. "
                    "Restore the file from the repository."
                ) from None
            items.append(Item(question.id, question.category, row))
        return self.choose(sorted(items, key=lambda item: CATEGORIES.index(item.category)))

    def score(self, samples: Sequence[Sample], output_dir: Path) -> Sequence[Scored]:
        """
        Score with the official code: the references, and each sample of the items.

        Args:
            samples (`Sequence[Sample]`):
                All samples.
            output_dir (`Path`):
                Gets the predictions in the official layout and the verdicts, in `official/gold` and
                `official/sample_<number>`.

        Returns:
            `Sequence[Scored]`:
                1 where the official code counts the call as right.
        """
        rows = {sample.item.id: sample.item.row for sample in samples}
        questions = [self._questions[question_id] for question_id in rows]
        folder = output_dir / "official"

        def judge(answers: Mapping[str, str], name: str) -> OfficialScores:
            return score_answers(
                self.checkout.path, self.level, questions, answers, self.scorer_timeout, folder / name
            )

        self._gold = judge({question_id: row[GOLD] for question_id, row in rows.items()}, GOLD)
        text = OfficialText(self.prompts, write_api_calls)
        self._scores, scored = [], []
        for number in sorted({sample.number for sample in samples}):
            own = [sample for sample in samples if sample.number == number]
            answers = dict.fromkeys(rows, "")
            for sample in (one for one in own if one.unscorable is None):
                answers[sample.item.id] = text.of(sample.completions[-1], sample.item.row["tools"])
            result = judge(answers, f"sample_{number}")
            self._scores.append(result)
            for sample in own:
                reason = result.verdicts[sample.item.id]
                scored.append(Scored(sample.item.id, sample.item.category, number, float(reason == "correct"), reason))
        return scored

    def aggregates(self, sizes: Mapping[str, int]) -> Mapping[str, Mapping[str, float]]:
        """The official accuracy of the level: every call weighs the same."""
        return {f"level {self.level}": super().aggregates(sizes)["all"]}

    def summarize(self, scored: Sequence[Scored]) -> Summary:
        """See [`Suite.summarize`]; with the scores of the references, and what the official code counted."""
        summary = super().summarize(scored)
        if self._gold is None:
            return summary
        right: dict[str, list[bool]] = {}
        for question_id, verdict in self._gold.verdicts.items():
            right.setdefault(self._questions[question_id].category, []).append(verdict == "correct")
        gold = {category: sum(verdicts) / len(verdicts) for category, verdicts in right.items()}
        failures = {name: why for name, why in self._gold.verdicts.items() if why != "correct"}
        official = [{"total": one.total, "correct": one.correct} for one in self._scores]
        notes = [
            "`tool_search` (ToolSearcher, a sentence encoder) and `web` (Translate, Dictionary, SearchEngine) cannot be "
            "right: what they need has stand-ins, so that scores do not depend on a service."
        ]
        notes = notes if len(right) > 1 else []
        return self.add_gold(summary, gold, failures, official, self._gold.protections, notes)
