"""Computes the attention of packs with SDPA in blocks of queries, each of which leaves out the keys after it.

Kernels that take a mask compute all pairs of tokens. No token of a pack sees a later one, so about half can be skipped.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

BLOCK = 256  # queries
_BEYOND_A_MASK = ("position_bias", "softcap", "cache")  # arguments that transformers' function treats, or refuses


def mark_causal(mask: Any) -> Any:
    """Say of an SDPA mask (K, 1, N, N) that no token in it sees a later one."""
    if isinstance(mask, torch.Tensor):
        mask.is_causal_mask = True  # type: ignore[attr-defined]
    return mask


def attention_by_blocks(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention `"sdpa"`, in blocks where [`mark_causal`] has marked the mask."""
    length, is_marked = query.shape[2], getattr(attention_mask, "is_causal_mask", False)
    if length <= BLOCK or not is_marked or any(kwargs.get(name) is not None for name in _BEYOND_A_MASK):
        result: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result
    assert attention_mask is not None
    groups = getattr(module, "num_key_value_groups", 1)
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    blocks = []
    for start in range(0, length, BLOCK):
        end = min(start + BLOCK, length)
        blocks.append(
            scaled_dot_product_attention(
                query[:, :, start:end], key[:, :, :end], value[:, :, :end],
                attn_mask=attention_mask[:, :, start:end, :end], dropout_p=dropout, scale=scaling,
            )
        )  # fmt: skip
    return torch.cat(blocks, dim=2).transpose(1, 2).contiguous(), None


def use_blocks() -> None:
    """Let every model with attention `"sdpa"` compute marked masks in blocks; other masks go to transformers as before."""
    AttentionInterface.register("sdpa", attention_by_blocks)
