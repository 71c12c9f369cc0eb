"""Defines the records that suites, samplers and the runner exchange: items, samples and scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..sampling.completion import UNSAMPLED, Completion


@dataclass(frozen=True)
class Item:
    """One thing that a suite asks of a model."""

    id: str  # that no other item of the suite has; the same in every run
    category: str  # its row in the table
    row: Mapping[str, Any]  # canonical, or what the suite needs instead; JSON values


@dataclass(frozen=True)
class Sample:
    """A finished conversation."""

    item: Item
    number: int  # among the samples of the item, from 0
    completions: tuple[Completion, ...]  # one for each step
    outcome: Any = None  # what the generator of the suite returned
    failure: str | None = None  # the error that ended the generator

    @property
    def text(self) -> str:
        return self.completions[-1].text if self.completions else ""

    @property
    def unscorable(self) -> str | None:
        """Why the sample is worth 0 whatever it holds; `None` for one that the suite is to judge."""
        if self.failure is not None:
            return "conversation_failed"
        return next((one.finish_reason for one in self.completions if one.finish_reason in UNSAMPLED), None)


@dataclass(frozen=True)
class Scored:
    """The score of a sample."""

    id: str  # of the item
    category: str
    sample: int
    score: float  # between 0 and 1
    reason: str  # `"correct"`, or what failed
