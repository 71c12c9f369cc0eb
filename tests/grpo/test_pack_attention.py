"""Attention in blocks: equal to attention with the whole mask, gradients too, and only where the mask is marked."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from egpo_trl.grpo import pack_attention
from egpo_trl.grpo.pack_attention import attention_by_blocks, mark_causal, use_blocks


def problem(length: int, heads: int, groups: int, seed: int):
    """Queries, keys, values, and a random mask in which no token sees a later one."""
    random = torch.Generator().manual_seed(seed)
    query = torch.randn(2, heads * groups, length, 4, generator=random, dtype=torch.float64)
    key, value = torch.randn(2, 2, heads, length, 4, generator=random, dtype=torch.float64)
    sees = (torch.rand(2, 1, length, length, generator=random) < 0.5).tril() | torch.eye(length, dtype=torch.bool)
    return [tensor.requires_grad_() for tensor in (query, key, value)], sees


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(1, 40), heads=st.integers(1, 2), groups=st.integers(1, 3), block=st.integers(1, 45), seed=st.integers(0, 99)
)  # fmt: skip
def test_blocks_equal_the_whole(length, heads, groups, block, seed):
    tensors, sees = problem(length, heads, groups, seed)
    module = SimpleNamespace(num_key_value_groups=groups)
    expected, _ = sdpa_attention_forward(module, *tensors, sees, scaling=0.3)
    before = torch.autograd.grad(expected.square().sum(), tensors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_attention, "BLOCK", block)
        got, _ = attention_by_blocks(module, *tensors, mark_causal(sees), scaling=0.3)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    for ours, theirs in zip(torch.autograd.grad(got.square().sum(), tensors), before, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_other_masks_are_left_to_transformers(monkeypatch):
    """A mask that shows later tokens is never marked, so none of them is left out."""
    monkeypatch.setattr(pack_attention, "BLOCK", 2)
    tensors, sees = problem(8, 1, 1, 0)
    module = SimpleNamespace(num_key_value_groups=1, is_causal=True)
    for mask in (torch.ones_like(sees), None):
        expected, _ = sdpa_attention_forward(module, *tensors, mask)
        assert torch.equal(attention_by_blocks(module, *tensors, mask)[0], expected)


def test_use_blocks_is_what_models_call():
    use_blocks()
    assert AttentionInterface()["sdpa"] is attention_by_blocks
