"""[`CheckoutSuite`]: what suites share whose data and scorer are in a checkout that the user has fetched."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from typing import Any, ClassVar

from ...sampling.sampler import PromptFormat
from ..records import Item
from ..subsets import SUBSETS, check_subset, choose_items
from ..suite import Suite
from ..summary import Summary
from .checkouts import Checkout, Repository, open_checkout, read_checksums

PROMPTS = ("training", "official")


@dataclass(kw_only=True)
class CheckoutSuite(Suite):
    """
    Suite that is scored by the official code of a checkout.

    Args:
        repo (`str`, *optional*):
            Checkout of the official repository.
        benchmark_prompt (`str`, *optional*, defaults to `"training"`):
            `"training"`: canonical rows, rendered as in training. `"official"`: the messages of the benchmark's own
            inference, which list the functions themselves.
        max_per_category (`int`, *optional*):
            Most items of each category; all by default.
        subset (`str`, *optional*, defaults to `"even"`):
            Which ones: `"even"`, evenly spaced, or `"shortest"`.
        scorer_timeout (`float`, *optional*, defaults to `600.0`):
            Longest duration of one run of the official scorer, in seconds.
    """

    incidental: ClassVar[frozenset[str]] = frozenset({"repo", "scorer_timeout"})
    repository: ClassVar[Repository]
    package: ClassVar[str]  # that holds the checksums
    extra: ClassVar[str]  # of this package, with what the official scorer imports
    imports: ClassVar[tuple[str, ...]]

    repo: str | None = field(default=None, metadata={"help": "Checkout of the official repository."})
    benchmark_prompt: str = field(
        default="training",
        metadata={
            "help": "'training': rendered as in training. 'official': the messages of the benchmark's own inference.",
            "choices": PROMPTS,
        },
    )
    max_per_category: int | None = field(default=None, metadata={"help": "Most items of each category."})
    subset: str = field(default="even", metadata={"help": "Which items: 'even' or 'shortest'.", "choices": SUBSETS})
    scorer_timeout: float = field(
        default=600.0,
        metadata={"help": "Longest duration of one run of the official scorer, in seconds."},
    )

    def __post_init__(self) -> None:
        if self.benchmark_prompt not in PROMPTS:
            raise ValueError(f"benchmark_prompt must be one of {PROMPTS}, got {self.benchmark_prompt!r}.")
        check_subset(self.max_per_category, self.subset)
        if not 0 < self.scorer_timeout < float("inf"):
            raise ValueError(f"scorer_timeout must be a positive number of seconds, got {self.scorer_timeout}.")

    def begin(self, prompts: PromptFormat) -> None:
        """
        See [`Suite.begin`].

        Raises:
            ValueError: If the checkout is missing or not complete, a package that its scorer imports is missing, or the
                options contradict each other.
        """
        super().begin(prompts)
        if self.is_official and prompts.style != "native":
            raise ValueError(
                f"benchmark_prompt='official' brings its own system message, beside which prompt_style="
                f"{prompts.style!r} would put another; leave one of the two at its default."
            )
        missing = [name for name in self.imports if find_spec(name) is None]
        if missing:
            raise ValueError(
                f"The official scorer of {self.repository.name} needs {', '.join(missing)}, not installed here: "
                f"pip install 'egpo-trl[{self.extra}]'"
            )
        self.checkout  # noqa: B018 - looked at before a model is asked anything

    @property
    def is_official(self) -> bool:
        """Whether the prompts are the benchmark's own."""
        return self.benchmark_prompt == "official"

    @abstractmethod
    def needed_files(self) -> Sequence[str]:
        """Files and folders of the checkout that an evaluation uses."""

    @cached_property
    def checkout(self) -> Checkout:
        """The checkout, looked at once."""
        known = read_checksums(self.package)
        return open_checkout(self.repo, self.repository, {name: known[name] for name in self.needed_files()})

    def choose(self, items: Sequence[Item]) -> list[Item]:
        """The items that are evaluated, see `max_per_category` and `subset`."""
        return choose_items(items, self.max_per_category, self.subset)

    def add_gold(
        self,
        summary: Summary,
        gold: Mapping[str, float],
        failures: Mapping[str, str],
        official: Sequence[Any],
        protections: Sequence[str],
        notes: Sequence[str] = (),
    ) -> Summary:
        """
        A summary with what the references score, and what else a reader needs.

        Args:
            summary ([`Summary`]):
                Summary of the model.
            gold (`Mapping[str, float]`):
                Score of the references in each category.
            failures (`Mapping[str, str]`):
                Entries whose reference the scorer calls wrong, and why.
            official (`Sequence`):
                What the official code printed for each sample.
            protections (`Sequence[str]`):
                What bounded its process.
            notes (`Sequence[str]`, *optional*):
                Lines to stand below the table.

        Returns:
            [`Summary`]:
                With `gold` for every row, and as `extra` `checkout`, `prompt`, `official`, `protections` and
                `gold_failures`.
        """
        scores = dict(gold)
        for row in summary.rows:
            if row.weights is not None:
                scores[row.category] = sum(weight * gold[part] for part, weight in row.weights.items())
        commit = self.checkout.commit or "unknown to git"
        state = (
            f"with {len(self.checkout.changed)} changed files, so that scores may not compare"
            if self.checkout.changed
            else "every file that is used as tested"
        )
        prompt = "the benchmark's own" if self.is_official else "as in training"
        lines = [
            f"Scores: the official code of {self.repository.name}, commit {commit}, {state}. Prompts: {prompt}.",
            "Gold: what the benchmark's own references score by the same code.",
        ]
        if self.max_per_category is not None:
            lines.append(f"A subset: at most {self.max_per_category} items of each category, {self.subset}.")
        extra = {
            "checkout": self.checkout.as_dict(),
            "prompt": self.benchmark_prompt,
            "official": list(official),
            "protections": list(protections),
            "gold_failures": dict(failures),
        }
        return replace(summary, gold=scores, extra={**summary.extra, **extra}, notes=[*summary.notes, *lines, *notes])
