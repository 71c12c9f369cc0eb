"""Answers with the references of a benchmark: their score bounds that of any model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..sampling.completion import Completion
from ..sampling.sampler import PromptFormat, Request

GOLD = "gold"  # name of the pseudo model, and of the reference in a row


class GoldSampler:
    """Answers every request with the reference in its row."""

    prompts = PromptFormat()

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"backend": GOLD, "model": GOLD}

    def sample(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        for position, request in enumerate(requests):
            if not isinstance(request.row.get(GOLD), str):
                raise ValueError("model 'gold' is for suites whose references can be given as answers; this has none.")
            yield position, Completion(request.row[GOLD])

    def close(self) -> None:
        """Nothing is held."""
