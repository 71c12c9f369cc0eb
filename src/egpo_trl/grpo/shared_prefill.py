"""Generates the rollouts of a group from one prefill of their prompt, with transformers' own `generate`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import DynamicCache


@contextmanager
def shared_prefill(model: Any) -> Iterator[None]:
    """
    While it is open, `model.generate` computes each distinct prompt of a batch once and repeats its cache.

    Greedy completions are those of a plain call up to the rounding of another batch size; sampled ones draw the same random
    numbers. A `generate` that somebody has already replaced is left alone.
    """
    if "generate" in vars(model):
        yield
        return
    plain = model.generate

    def generate(input_ids: torch.Tensor, attention_mask: torch.Tensor, **kwargs: Any) -> Any:
        rows, places = torch.unique(input_ids * attention_mask - (1 - attention_mask), dim=0, return_inverse=True)
        if kwargs.get("past_key_values") is None and len(rows) < len(input_ids) and input_ids.shape[1] > 1:
            first = torch.zeros(len(rows), dtype=torch.long, device=places.device)
            first.scatter_(0, places.flip(0), torch.arange(len(places), device=places.device).flip(0))
            cache = DynamicCache(config=model.config.get_text_config())
            mask = attention_mask[first, :-1]
            with torch.no_grad():
                model(
                    input_ids=input_ids[first, :-1],
                    attention_mask=mask,
                    position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
            cache.batch_select_indices(places)
            kwargs["past_key_values"] = cache
        return plain(input_ids=input_ids, attention_mask=attention_mask, **kwargs)

    model.generate = generate
    try:
        yield
    finally:
        del model.generate
