"""[`APIBank`]: the calls of levels 1 and 2 as a suite, sampled by us and scored by the benchmark's own code."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ...utils.options import option
from ..gold_sampler import GOLD
from ..official.checkout_suite import CheckoutSuite, OfficialScores
from ..official.checkouts import Repository
from ..official.text import Writer
from ..records import Item
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
from .scoring import CODE, score_answers


@dataclass(kw_only=True)
class APIBank(CheckoutSuite):
    """API-Bank, levels 1 (functions given) and 2 (to be searched for), scored by the official code of a checkout."""

    name: ClassVar[str] = "api-bank"
    repository: ClassVar[Repository] = Repository(
        "API-Bank",
        "https://github.com/AlibabaResearch/DAMO-ConvAI",
        "5c38bb7d1d78c7a7f12aa415d620d6305dbe2078",
        "api-bank",
    )
    package: ClassVar[str] = "egpo_trl.evaluation.api_bank"
    extra: ClassVar[str] = "api-bank"
    write: ClassVar[Writer] = staticmethod(write_api_calls)
    imports: ClassVar[tuple[str, ...]] = ("rank_bm25", "nltk", "rouge", "requests", "tqdm")

    level: int = option("Level of the benchmark; level 3 cannot be scored automatically.", 1, tuple(DIALOGUES))

    def needed_files(self) -> Sequence[str]:
        return (*CODE, QUESTIONS[self.level], DIALOGUES[self.level])

    @cached_property
    def _questions(self) -> dict[str, Question]:
        return {question.id: question for question in read_questions(self.checkout.path, self.level)}

    def items(self) -> Sequence[Item]:
        """The calls to predict; those that need a sentence encoder or the web have categories of their own."""
        make = make_official_row if self.is_official else make_row
        items = []
        for question in self._questions.values():
            where = f"API-Bank, question {question.number} of {question.file}"
            row = {**self.named(where, make, question), GOLD: question.expected}
            items.append(Item(question.id, question.category, row))
        return self.choose(sorted(items, key=lambda item: CATEGORIES.index(item.category)))

    def judge(self, ids: Collection[str], answers: Mapping[str, str], folder: Path) -> OfficialScores:
        questions = [self._questions[name] for name in ids]
        return score_answers(self.checkout.path, self.level, questions, answers, self.scorer_timeout, folder)

    def aggregates(self, sizes: Mapping[str, int]) -> Mapping[str, Mapping[str, float]]:
        """The official accuracy of the level: every call weighs the same."""
        return {f"level {self.level}": super().aggregates(sizes)["all"]}

    def official_notes(self, categories: Collection[str]) -> list[str]:
        if len(categories) < 2:
            return []
        return [
            "`tool_search` (ToolSearcher, a sentence encoder) and `web` (Translate, Dictionary, SearchEngine) cannot be "
            "right: dummies replace what they need, so that scores do not depend on a service."
        ]
