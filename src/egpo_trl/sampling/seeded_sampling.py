"""Samples the tokens of a batch with random numbers of its own for each row."""

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor, LogitsProcessorList, TopKLogitsWarper, TopPLogitsWarper


class SeededSampling(LogitsProcessor):
    """Leaves only the token that each row's own seed draws, the same on every device and in every batch."""

    def __init__(
        self, seeds: Sequence[int], max_new_tokens: int, temperature: float, top_k: int = 0, top_p: float = 1.0
    ) -> None:
        draws = [
            torch.rand(max_new_tokens, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            for seed in seeds
        ]
        self._uniforms = torch.stack(draws, dim=1)  # (positions, rows)
        self._temperature = temperature
        self._warpers = LogitsProcessorList()
        if top_k:
            self._warpers.append(TopKLogitsWarper(top_k))
        if top_p < 1:
            self._warpers.append(TopPLogitsWarper(top_p))
        self._position = 0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores in which only the chosen token of each row is possible."""
        logits = self._warpers(input_ids, scores.float() / self._temperature)
        precise = logits if scores.device.type == "mps" else logits.double()
        cumulative = precise.softmax(dim=-1).cumsum(dim=-1)
        uniform = self._uniforms[self._position].to(cumulative)
        self._position += 1
        # `right` skips tokens without probability; scaling makes up for a sum that rounding left near 1.
        token = torch.searchsorted(cumulative, (uniform * cumulative[:, -1]).unsqueeze(1), right=True)
        chosen = torch.full_like(scores, -torch.inf)
        return chosen.scatter_(1, token.clamp_(max=scores.shape[1] - 1), 0.0)  # type: ignore[return-value]
