"""Measures the entropy of a model at every token of a completion."""

import inspect
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..rollouts.think_spans import ThinkTags

_CHUNK = 128  # positions whose logits are held in float32 at a time
_MAX_TOKENS = 2048  # of a longer completion only the beginning is measured


def token_pieces(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Text of each token; a character of several tokens is put at its last one."""

    def decode(begin: int, end: int) -> str:
        return str(tokenizer.decode(ids[begin:end], skip_special_tokens=False, clean_up_tokenization_spaces=False))

    pieces: list[str] = []
    begin = read = 0
    for end in range(1, len(ids) + 1):
        text = decode(begin, end)
        if text.endswith("\ufffd") and end < len(ids):
            pieces.append("")
            continue
        pieces.append(text.removeprefix(decode(begin, read)))
        begin, read = read, end
    return pieces


@torch.no_grad()
def token_entropies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt_ids: Sequence[int],
    completion_ids: Sequence[int],
    *,
    temperature: float = 1.0,
    think_tags: Sequence[str] | None = None,
    tool_mask: Sequence[int] | None = None,
) -> list[tuple[str, float, bool]]:
    """Tokens of a completion with the entropy of the model before each, as training measures it."""
    completion_ids = list(completion_ids[:_MAX_TOKENS])
    if not completion_ids:
        return []
    prompt, completion = (torch.tensor([list(ids)], device=model.device) for ids in (prompt_ids, completion_ids))
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # PEFT hands its arguments on
    takes_keep = "logits_to_keep" in inspect.signature(base.forward).parameters
    keep = {"logits_to_keep": len(completion_ids) + 1} if takes_keep else {}
    was_training = model.training
    model.eval()
    logits = model(input_ids=torch.cat([prompt, completion], dim=1), use_cache=False, **keep).logits
    model.train(was_training)
    entropies = []
    for chunk in logits[0, -len(completion_ids) - 1 : -1].split(_CHUNK):
        logps = (chunk.float() / temperature).log_softmax(dim=-1)
        entropies += torch.special.entr(logps.exp()).sum(dim=-1).tolist()
    try:
        tags = ThinkTags(tokenizer, think_tags)
        written = torch.ones_like(completion)
        if tool_mask is not None:
            written = torch.tensor([list(tool_mask[: len(completion_ids)])], device=model.device)
        cot = tags.cot_mask(prompt, torch.ones_like(prompt), completion, written)[0].tolist()
    except ValueError:  # a model without think tags
        cot = [False] * len(completion_ids)
    return list(zip(token_pieces(tokenizer, completion_ids), entropies, cot, strict=True))
