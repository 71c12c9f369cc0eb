"""Runs the conversations of a suite; each continues as soon as its own reply is back and in the journal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ..sampling.completion import Completion, digest
from ..sampling.sampler import Request, Sampler, request_seed
from ..utils.journal import Journal, JournalError
from .records import Item, Sample
from .suite import Conversation, Suite


@dataclass
class _Live:
    """A conversation in progress."""

    item: Item
    number: int
    conversation: Conversation
    row: Any = None  # to be sampled next
    prompt: str = ""  # its digest
    completions: list[Completion] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, int, int]:
        return (self.item.id, self.number, len(self.completions))

    def record(self, completion: Completion) -> dict[str, Any]:
        """What the journal keeps of a reply; see [`open_journal`]."""
        item, sample, step = self.key
        return {"item": item, "sample": sample, "step": step, "prompt": self.prompt, "completion": asdict(completion)}

    def advance(self, completion: Completion | None) -> Sample | None:
        """Move to the next row; returns the sample if there is none."""
        outcome, failure = None, None
        try:
            if completion is None:
                self.row = next(self.conversation)
            else:
                self.completions.append(completion)
                self.row = self.conversation.send(completion)
            self.prompt = digest(self.row)
            return None
        except StopIteration as stop:
            outcome = stop.value
            if not self.completions:
                raise ValueError(f"item {self.item.id!r}: its conversation asks nothing.") from None
        except Exception as error:  # what a model wrote must not end the run
            failure = f"{type(error).__name__}: {error}"
        return Sample(self.item, self.number, tuple(self.completions), outcome, failure)


def open_journal(path: Path, belongs_to: Mapping[str, Any]) -> Journal:
    """The completions of a run by item, sample and step."""

    def key(record: Mapping[str, Any]) -> tuple[str, int, int]:
        Completion(**record["completion"])  # a broken line raises
        return record["item"], record["sample"], record["step"]

    return Journal(path, belongs_to, key, "sample everything again")


def _start(suite: Suite, item: Item, number: int, journal: Journal) -> "_Live | Sample":
    """Begin a conversation, and replay what is in the journal."""
    live = _Live(item, number, suite.conversation(item))
    sample = live.advance(None)
    while sample is None and (known := journal.get(live.key)) is not None:
        if known["prompt"] != live.prompt:
            raise JournalError(
                f"{journal.path}: item {item.id!r}, sample {number}, asked something else at step {live.key[2]} before: "
                "the suite was changed. Use another output folder, or move the journal away to sample everything again."
            )
        fields = known["completion"]
        sample = live.advance(Completion(**{**fields, "completion_ids": tuple(fields["completion_ids"])}))
    return live if sample is None else sample


def run_conversations(
    suite: Suite,
    items: Sequence[Item],
    sampler: Sampler,
    journal: Journal,
    *,
    num_samples: int = 1,
    seed: int = 0,
    live_conversations: int = 1024,
    on_completion: Callable[[Completion], None] = lambda _: None,
    on_finished: Callable[[], None] = lambda: None,
) -> list[Sample]:
    """Run all conversations of a suite. Journaled replies are replayed; the order of replies does not matter."""
    finished: dict[tuple[str, int], Sample] = {}

    def finish(sample: Sample) -> None:
        finished[sample.item.id, sample.number] = sample
        on_finished()

    def starts() -> Iterator[_Live]:
        for item in items:
            for number in range(num_samples):
                started = _start(suite, item, number, journal)
                if isinstance(started, Sample):
                    finish(started)
                else:
                    yield started

    waiting = starts()
    due: list[_Live] = []  # conversations whose next request a batch sampler left to the next call
    while True:
        live = [*due, *islice(waiting, live_conversations - len(due))]
        if not live:
            return [finished[item.id, number] for item in items for number in range(num_samples)]
        requests: list[Request] = []

        def ask(one: _Live) -> None:
            requests.append(Request(one.row, request_seed(seed, *one.key)))  # noqa: B023 - the list of this round

        for one in live:
            ask(one)
        first, answered = len(requests), set()
        for index, completion in sampler.sample(requests):
            one = live[index]
            answered.add(index)
            journal.append(one.record(completion))
            on_completion(completion)
            sample = one.advance(completion)
            follower: _Live | None = one
            if sample is not None:
                finish(sample)
                follower = next(waiting, None)
            if follower is not None:
                live.append(follower)
                ask(follower)
        missing = first - len(answered & set(range(first)))
        if missing:
            raise ValueError(f"The sampler left {missing} of {first} requests unanswered.")
        due = [one for index, one in enumerate(live) if index not in answered]
