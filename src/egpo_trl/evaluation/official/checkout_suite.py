"""[`CheckoutSuite`]: base of suites whose data and scorer are in a checkout of the user."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ...sampling.sampler import PromptFormat
from ...utils.options import check_choices, check_least, option
from ..gold_sampler import GOLD
from ..records import Item, Sample, Scored
from ..subsets import SUBSETS, choose_items
from ..suite import Suite
from ..summary import Summary, summarize
from .checkouts import Checkout, Repository, open_checkout, read_checksums
from .text import OfficialText, Writer

Made = TypeVar("Made")
PROMPTS = ("training", "official")


@dataclass(frozen=True)
class OfficialScores:
    """The verdict on each row by id (`"correct"` or what failed), figures of the official code, and its restrictions."""

    verdicts: Mapping[str, str]
    official: Mapping[str, Any]
    protections: Sequence[str] = ()


@dataclass(kw_only=True)
class CheckoutSuite(Suite):
    """Suite that is scored by the official code of a checkout."""

    incidental: ClassVar[frozenset[str]] = frozenset({"repo", "scorer_timeout"})
    repository: ClassVar[Repository]
    package: ClassVar[str]  # that holds the checksums
    extra: ClassVar[str]  # of this package, with what the official scorer imports
    imports: ClassVar[tuple[str, ...]]
    write: ClassVar[Writer]  # of calls in the syntax of the benchmark

    repo: str | None = option("Checkout of the official repository.", None)
    benchmark_prompt: str = option(
        "'training': rendered as in training. 'official': the messages of the benchmark's own inference.",
        "training",
        PROMPTS,
    )
    max_per_category: int | None = option("Most items of each category.", None)
    subset: str = option("Which items: 'even' or 'shortest'.", "even", SUBSETS)
    scorer_timeout: float = option("Longest duration of one run of the official scorer, in seconds.", 600.0)

    def __post_init__(self) -> None:
        check_choices(self)
        check_least(self, 1, "max_per_category")
        self._scores: list[OfficialScores] = []
        self._gold: tuple[OfficialScores, list[Scored]] | None = None
        if not 0 < self.scorer_timeout < float("inf"):
            raise ValueError(f"scorer_timeout must be a positive number of seconds, got {self.scorer_timeout}.")

    def begin(self, prompts: PromptFormat) -> None:
        super().begin(prompts)
        if self.is_official and prompts.style != "native":
            raise ValueError(
                f"benchmark_prompt='official' brings its own system message, and prompt_style="
                f"{prompts.style!r} would add another; leave one of the two at its default."
            )
        missing = [name for name in self.imports if find_spec(name) is None]
        if missing:
            raise ValueError(
                f"The official scorer of {self.repository.name} needs {', '.join(missing)}, not installed here: "
                f"pip install 'egpo-trl[{self.extra}]'"
            )
        self.checkout  # noqa: B018 - inspected before a model is asked anything

    @property
    def is_official(self) -> bool:
        """Whether the prompts are the benchmark's own."""
        return self.benchmark_prompt == "official"

    @abstractmethod
    def needed_files(self) -> Sequence[str]:
        """Files and folders of the checkout that an evaluation uses."""

    @cached_property
    def checkout(self) -> Checkout:
        """The checkout, inspected once."""
        known = read_checksums(self.package)
        return open_checkout(self.repo, self.repository, {name: known[name] for name in self.needed_files()})

    @staticmethod
    def named(where: str, make: Callable[..., Made], *arguments: Any) -> Made:
        """What is made of an entry; one that cannot be read is named."""
        try:
            return make(*arguments)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{where}: {type(error).__name__}: {error}. Restore the file from the repository."
            ) from None

    def choose(self, items: Sequence[Item]) -> list[Item]:
        return choose_items(items, self.max_per_category, self.subset)

    def rows(self, item: Item) -> Sequence[Mapping[str, Any]]:
        """Rows of an item, in the order in which they are asked: each has an `id` and its reference as `gold`."""
        return [item.row]

    @abstractmethod
    def judge(self, ids: Collection[str], answers: Mapping[str, str], folder: Path) -> OfficialScores:
        """The official scores of one answer to every row; `folder` gets the official files."""

    def official_notes(self, categories: Collection[str]) -> list[str]:
        """Further lines below the table."""
        return []

    def score(self, samples: Sequence[Sample], output_dir: Path) -> Sequence[Scored]:
        """Score the references and each sample as a model of its own; an item is right if all its rows are."""
        rows = {row["id"]: row for sample in samples for row in self.rows(sample.item)}
        folder = output_dir / "official"
        gold = self.judge(rows, {name: row[GOLD] for name, row in rows.items()}, folder / GOLD)
        items = {sample.item.id: sample.item for sample in samples}.values()
        self._gold = gold, [self._scored(item, 0, gold) for item in items]
        text = OfficialText(self.prompts, type(self).write)
        self._scores, scored = [], []
        for number in sorted({sample.number for sample in samples}):
            own = [sample for sample in samples if sample.number == number]
            answers = dict.fromkeys(rows, "")
            for sample in (one for one in own if one.unscorable is None):
                for row, completion in zip(self.rows(sample.item), sample.completions, strict=True):
                    answers[row["id"]] = text.of(completion, row["tools"])
            result = self.judge(rows, answers, folder / f"sample_{number}")
            self._scores.append(result)
            scored += [self._scored(sample.item, number, result) for sample in own]
        return scored

    def _scored(self, item: Item, number: int, scores: OfficialScores) -> Scored:
        verdicts = (scores.verdicts[row["id"]] for row in self.rows(item))
        reason = next((verdict for verdict in verdicts if verdict != "correct"), "correct")
        return Scored(item.id, item.category, number, float(reason == "correct"), reason)

    def summarize(self, scored: Sequence[Scored]) -> Summary:
        """See [`Suite.summarize`]; adds the scores of the references, the checkout, and what the official code printed."""
        summary = super().summarize(scored)
        if self._gold is None:
            return summary
        scores, references = self._gold
        gold = {row.category: row.score for row in summarize(references, self.aggregates).rows}
        commit = self.checkout.commit or "unknown to git"
        state = (
            f"with {len(self.checkout.changed)} changed files, so that scores may not compare"
            if self.checkout.changed
            else "every file that is used as tested"
        )
        prompt = "the benchmark's own" if self.is_official else "as in training"
        notes = [
            f"Scores: the official code of {self.repository.name}, commit {commit}, {state}. Prompts: {prompt}.",
            "Gold: what the benchmark's own references score by the same code.",
        ]
        if self.max_per_category is not None:
            notes.append(f"A subset: at most {self.max_per_category} items of each category, {self.subset}.")
        extra = {
            "checkout": {"commit": self.checkout.commit, "changed": dict(self.checkout.changed)},
            "prompt": self.benchmark_prompt,
            "official": [one.official for one in self._scores],
            "protections": list(scores.protections),
            "gold_failures": {name: why for name, why in scores.verdicts.items() if why != "correct"},
        }
        notes += self.official_notes({one.category for one in references})
        return replace(summary, gold=gold, extra={**summary.extra, **extra}, notes=[*summary.notes, *notes])
