"""API-Bank as a suite: the calls of levels 1 and 2, sampled by us and scored by its own code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ...tool_calls.calls import parse_tools
from ..checkouts import Checkout, Repository, open_checkout, read_checksums
from ..official_text import OfficialText
from ..records import Item, Sample, Scored
from ..sampler import PromptFormat
from ..suite import Suite
from ..summary import Summary
from .data import (
    DIALOGUES,
    QUESTIONS,
    UNSCORABLE,
    Question,
    make_official_row,
    make_row,
    read_questions,
    write_api_calls,
)
from .scoring import CODE, OfficialScores, score_answers

REPOSITORY = Repository(
    "API-Bank",
    "https://github.com/AlibabaResearch/DAMO-ConvAI",
    "5c38bb7d1d78c7a7f12aa415d620d6305dbe2078",
    "api-bank",
)
LEVELS = (1, 2)


@dataclass
class APIBank(Suite):
    """
    API-Bank, the calls of level 1 (functions given) and 2 (functions to be searched for), scored by the official code
    of a checkout.

    Args:
        repo (`str`, *optional*):
            Checkout of the official repository, or its folder `api-bank`.
        level (`int`, *optional*, defaults to `1`):
            1 or 2.
        official_prompt (`bool`, *optional*, defaults to `False`):
            Whether the prompts are the benchmark's own instructions instead of those of training.
        scorer_timeout (`float`, *optional*, defaults to `600.0`):
            Longest duration of the official scorer, in seconds.
    """

    name: ClassVar[str] = "api-bank"

    repo: str | None = None
    level: int = 1
    official_prompt: bool = False
    scorer_timeout: float = 600.0

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"--level must be one of {LEVELS}, got {self.level!r}; level 3 has no automatic scorer.")
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
    def checkout(self) -> Checkout:
        """The checkout, looked at once."""
        known = read_checksums("egpo_trl.evaluation.api_bank")
        needed = (*CODE, QUESTIONS[self.level], DIALOGUES[self.level])
        return open_checkout(self.repo, REPOSITORY, {name: known[name] for name in needed})

    @cached_property
    def _questions(self) -> dict[str, Question]:
        return {question.id: question for question in read_questions(self.checkout.path, self.level)}

    def items(self) -> Sequence[Item]:
        """
        The calls to predict. Those that nothing can score without a sentence encoder or the web have categories of
        their own, `tool_search` and `web`.

        Returns:
            `Sequence[Item]`:
                Items with canonical rows.
        """
        make = make_official_row if self.official_prompt else make_row
        items = []
        for question in self._questions.values():
            try:
                row = make(question)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"API-Bank question {question.number} of {question.file}: {type(error).__name__}: {error}. "
                    "Restore the file from the repository."
                ) from None
            items.append(Item(question.id, UNSCORABLE.get(question.function, "calls"), row))
        return items

    def score(self, samples: Sequence[Sample], output_dir: Path) -> Sequence[Scored]:
        """
        Score with the official code: each sample of the items, and the references.

        Args:
            samples (`Sequence[Sample]`):
                All samples.
            output_dir (`Path`):
                Gets the predictions in the official layout, in `official/sample_<number>` and `official/gold`.

        Returns:
            `Sequence[Scored]`:
                1 where the official code counts the call as right.
        """
        rows = {sample.item.id: sample.item.row for sample in samples}
        questions = [question for question in self._questions.values() if question.id in rows]
        gold = {question_id: row["gold"] for question_id, row in rows.items()}
        self._gold = self._official(questions, gold, output_dir / "official" / "gold")
        text = OfficialText(self.prompts, write_api_calls)
        scored = []
        self._scores = []
        for number in sorted({sample.number for sample in samples}):
            own = [sample for sample in samples if sample.number == number]
            answers = dict.fromkeys(rows, "")
            for sample in own:
                if sample.unscorable is None and sample.completions:
                    tools = sample.item.row["tools"]
                    answers[sample.item.id] = text.of(sample.completions[-1], list(parse_tools(tools)), tools)
            result = self._official(questions, answers, output_dir / "official" / f"sample_{number}")
            self._scores.append(result)
            for sample in own:
                reason = result.verdicts[sample.item.id]
                scored.append(Scored(sample.item.id, sample.item.category, number, float(reason == "correct"), reason))
        return scored

    def _official(self, questions: Sequence[Question], answers: Mapping[str, str], keep: Path) -> OfficialScores:
        return score_answers(self.checkout.path, self.level, questions, answers, self.scorer_timeout, keep)

    def aggregates(self, sizes: Mapping[str, int]) -> Mapping[str, Mapping[str, float]]:
        """The official accuracy of the level: every call weighs the same."""
        total = sum(sizes.values())
        return {f"level {self.level}": {category: size / total for category, size in sizes.items()}}

    def summarize(self, scored: Sequence[Scored]) -> Summary:
        """
        The table, with the scores of the references beside it.

        Args:
            scored (`Sequence[Scored]`):
                All scores.

        Returns:
            [`Summary`]:
                Its `extra` has `checkout`, `official` (for each sample the official counts) and `gold_failures`.
        """
        summary = super().summarize(scored)
        if self._gold is None:
            return summary
        by_category: dict[str, list[bool]] = {}
        for question_id, verdict in self._gold.verdicts.items():
            category = UNSCORABLE.get(self._questions[question_id].function, "calls")
            by_category.setdefault(category, []).append(verdict == "correct")
        gold = {category: sum(right) / len(right) for category, right in by_category.items()}
        for row in summary.rows:
            if row.weights is not None:
                gold[row.category] = sum(weight * gold[part] for part, weight in row.weights.items())
        return replace(
            summary,
            gold=gold,
            extra={
                "checkout": self.checkout.as_dict(),
                "prompt": "official" if self.official_prompt else self.prompts.style,
                "official": [{"total": one.total, "correct": one.correct} for one in self._scores],
                "gold_failures": {name: why for name, why in self._gold.verdicts.items() if why != "correct"},
            },
            notes=(
                f"API-Bank, level {self.level}, official scorer. `tool_search` and `web` need a sentence encoder or the "
                "web, which have stand-ins here, so that no answer to them is right. Gold is what the benchmark's own "
                "references score.",
            ),
        )
