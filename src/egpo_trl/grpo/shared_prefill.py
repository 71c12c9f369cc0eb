"""Generates the rollouts of a group from one prefill of their prompt, with transformers' own `generate`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers import DynamicCache

# Options of `generate` under which it fills one cache entry a row from the start, and the values they have then.
_PLAIN_CACHE: dict[str, tuple[Any, ...]] = {
    "past_key_values": (None,),
    "use_cache": (None, True),
    "cache_implementation": (None,),
    "num_beams": (None, 1),
    "num_return_sequences": (None, 1),
}


def _option(model: Any, kwargs: Mapping[str, Any], name: str) -> Any:
    """An option of a call of `generate`: of the call itself, of its configuration, or else of the model's."""
    sources = (kwargs.get("generation_config"), getattr(model, "generation_config", None))
    found = (kwargs.get(name), *(getattr(source, name, None) for source in sources))
    return next((value for value in found if value is not None), None)


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
        takes_cache = all(_option(model, kwargs, name) in values for name, values in _PLAIN_CACHE.items())
        if takes_cache and len(rows) < len(input_ids) and input_ids.shape[1] > 1:
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
