"""Defines [`Suite`], the base of benchmarks: items, a conversation about each, and scores."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..sampling.completion import Completion
from ..sampling.sampler import PromptFormat
from .records import Item, Sample, Scored
from .summary import Summary, summarize

Conversation = Generator[Mapping[str, Any], Completion, Any]


class Suite(ABC):
    """
    Base of the suites. A suite is a data class whose fields are its options on the command line.

    Everything that a suite does must depend on its options, its data and the completions alone: after a crash the
    conversations are replayed from the journal.
    """

    name: ClassVar[str]
    incidental: ClassVar[frozenset[str]] = frozenset()  # options that may change when a run is continued
    prompts: PromptFormat = PromptFormat()

    def begin(self, prompts: PromptFormat) -> None:
        """Called once before anything else, with the format of the prompts that the sampler will use."""
        self.prompts = prompts

    @abstractmethod
    def items(self) -> Sequence[Item]:
        """
        What is asked, in a fixed order.

        Returns:
            `Sequence[Item]`:
                At least one; no id comes twice.

        Raises:
            ValueError: If the data are missing or were changed.
        """

    def conversation(self, item: Item) -> Conversation:
        """
        The conversation about an item: yields a row to sample, is sent the [`Completion`], and so on.

        By default there is one step, with the item's own row.

        Args:
            item ([`Item`]):
                The item.

        Yields:
            `Mapping[str, Any]`:
                Row with `prompt` and `tools`.

        Returns:
            `Any`:
                What [`score`] finds as `outcome` of the sample.
        """
        yield item.row

    @abstractmethod
    def score(self, samples: Sequence[Sample], output_dir: Path) -> Sequence[Scored]:
        """
        Judge all samples.

        Args:
            samples (`Sequence[Sample]`):
                Every sample of every item. Those that are [`unscorable`][`Sample`] are worth 0 whatever is returned.
            output_dir (`Path`):
                Folder for files of the suite's own, such as the official result files.

        Returns:
            `Sequence[Scored]`:
                One for each sample, in any order.
        """

    def aggregates(self, sizes: Mapping[str, int]) -> Mapping[str, Mapping[str, float]]:
        """Rows of the table that sum up categories."""
        total = sum(sizes.values())
        return {"all": {category: size / total for category, size in sizes.items()}}

    def summarize(self, scored: Sequence[Scored]) -> Summary:
        """The table of an evaluation."""
        return summarize(scored, self.aggregates)
