"""Runs the conversations of a suite in rounds: all that wait are sampled together, and journalled before they go on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..sampling.completion import Completion, digest
from ..sampling.sampler import Request, Sampler, request_seed
from .journal import CompletionJournal
from .records import Item, Sample
from .suite import Conversation, Suite


@dataclass
class _Live:
    """A conversation under way."""

    item: Item
    number: int
    conversation: Conversation
    row: Any = None  # to be sampled next
    prompt: str = ""  # its digest
    completions: list[Completion] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, int, int]:
        return (self.item.id, self.number, len(self.completions))

    def advance(self, completion: Completion | None) -> Sample | None:
        """Go on to the next row; the sample if there is none."""
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


def _start(suite: Suite, item: Item, number: int, journal: CompletionJournal) -> "_Live | Sample":
    """Begin a conversation, and replay what is in the journal."""
    live = _Live(item, number, suite.conversation(item))
    sample = live.advance(None)
    while sample is None and (completion := journal.read(live.key, live.prompt)) is not None:
        sample = live.advance(completion)
    return live if sample is None else sample


def run_conversations(
    suite: Suite,
    items: Sequence[Item],
    sampler: Sampler,
    journal: CompletionJournal,
    *,
    num_samples: int = 1,
    seed: int = 0,
    live_conversations: int = 1024,
    on_completion: Callable[[Completion], None] = lambda _: None,
    on_finished: Callable[[], None] = lambda: None,
) -> list[Sample]:
    """
    Hold every conversation of a suite to its end.

    Args:
        suite ([`Suite`]):
            Its conversations.
        items (`Sequence[Item]`):
            Its items.
        sampler ([`Sampler`]):
            The model.
        journal ([`CompletionJournal`]):
            What it holds is replayed, everything else is sampled and appended.
        num_samples (`int`, *optional*, defaults to `1`):
            Conversations about each item.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the run.
        live_conversations (`int`, *optional*, defaults to `1024`):
            Conversations under way at a time.
        on_completion (`Callable`, *optional*):
            Called with each new completion.
        on_finished (`Callable`, *optional*):
            Called when a conversation is at its end.

    Returns:
        `list[Sample]`:
            In the order of the items, then of the sample numbers.

    Raises:
        SamplingStopped: If the back end fails for good.
        JournalError: If the journal holds answers to other questions.
    """
    places = [(item.id, number) for item in items for number in range(num_samples)]
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
    live: list[_Live] = []
    while True:
        while len(live) < live_conversations and (started := next(waiting, None)) is not None:
            live.append(started)
        if not live:
            return [finished[place] for place in places]
        requests = [Request(one.row, request_seed(seed, *one.key)) for one in live]
        answered, ended = set(), set()
        for index, completion in sampler.sample(requests):
            one = live[index]
            answered.add(index)
            journal.append(one.key, one.prompt, completion)
            on_completion(completion)
            sample = one.advance(completion)
            if sample is not None:
                ended.add(index)
                finish(sample)
        if len(answered) < len(live):
            raise ValueError(f"The sampler left {len(live) - len(answered)} of {len(live)} requests unanswered.")
        live = [one for index, one in enumerate(live) if index not in ended]
