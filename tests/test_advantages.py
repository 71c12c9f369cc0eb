"""Eq. 4 and 5 against hand computation in float64, and the properties the method promises."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.advantages import entropy_bonus, mean_cot_entropy, shape_advantages

advantage = st.floats(-10, 10, width=32).map(lambda a: a if abs(a) > 1e-6 else 0.0)
entropy = st.floats(0, 12, width=32)
lambdas = st.floats(0, 20)
alphas = st.floats(1.001, 100)


def batches(draw_rows: st.SearchStrategy) -> st.SearchStrategy:
    return st.integers(1, 6).flatmap(lambda t: st.lists(draw_rows(t), min_size=1, max_size=5))


rows = batches(
    lambda t: st.tuples(
        advantage, st.lists(entropy, min_size=t, max_size=t), st.lists(st.booleans(), min_size=t, max_size=t)
    )
)


def tensors(batch: list) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        torch.tensor([row[0] for row in batch]),
        torch.tensor([row[1] for row in batch]),
        torch.tensor([row[2] for row in batch]),
    )


def reference(batch: list, lam: float, alpha: float, level: str) -> list[list[float]]:
    """Eq. 4 and 5 in plain Python floats, one rollout and one token at a time."""
    shaped = []
    for a, entropies, is_cot in batch:
        cot = [h for h, c in zip(entropies, is_cot, strict=True) if c]
        if level == "sequence":
            mean = math.fsum(cot) / len(cot) if cot else 0.0
            shaped.append([a + min(lam * mean, abs(a) / alpha)] * len(entropies))
        else:
            shaped.append(
                [a + min(lam * h, abs(a) / alpha) if c else a for h, c in zip(entropies, is_cot, strict=True)]
            )
    return shaped


def test_token_level_by_hand():
    advantages = torch.tensor([1.0, -0.5], dtype=torch.float64)
    entropies = torch.tensor([[0.1, 2.0, 0.7], [0.3, 0.9, 0.0]], dtype=torch.float64)
    cot = torch.tensor([[True, True, False], [True, True, True]])
    shaped, bonus = shape_advantages(advantages, entropies, cot, 0.4, 2.0)
    # 0.4 * 0.1 = 0.04; 0.4 * 2.0 = 0.8 is clipped at 1 / 2; then 0.4 * 0.3 = 0.12, 0.4 * 0.9 = 0.36 clipped at 0.25
    expected = torch.tensor([[1.04, 1.5, 1.0], [-0.38, -0.25, -0.5]], dtype=torch.float64)
    torch.testing.assert_close(shaped, expected, rtol=1e-15, atol=0)
    torch.testing.assert_close(bonus, expected - advantages.unsqueeze(1), rtol=0, atol=1e-15)


def test_sequence_level_by_hand():
    advantages = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
    entropies = torch.tensor([[0.1, 0.3, 9.0], [2.0, 2.0, 2.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    cot = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    torch.testing.assert_close(mean_cot_entropy(entropies, cot), torch.tensor([0.2, 2.0, 0.0], dtype=torch.float64))
    shaped, _ = shape_advantages(advantages, entropies, cot, 0.4, 2.0, "sequence")
    torch.testing.assert_close(shaped, torch.tensor([1.08, -0.25, 2.0], dtype=torch.float64))


def test_the_clip_bounds_lambda_times_entropy_not_the_entropy():
    # The reproduction A + lambda * clip(H, -|A|/alpha, |A|/alpha) would give 1 + 0.4 * 0.5 = 1.2 here.
    shaped, _ = shape_advantages(torch.tensor([1.0]), torch.tensor([[5.0]]), torch.tensor([[True]]), 0.4, 2.0)
    assert shaped.item() == 1.5


@pytest.mark.parametrize("level", ["token", "sequence"])
@settings(max_examples=300, deadline=None)
@given(batch=rows, lam=lambdas, alpha=alphas)
def test_equals_the_reference(level, batch, lam, alpha):
    a, h, cot = tensors(batch)
    shaped, _ = shape_advantages(a.double(), h.double(), cot, lam, alpha, level)
    shaped = shaped if shaped.dim() == 2 else shaped.unsqueeze(1).expand_as(h)
    expected = torch.tensor(reference(batch, lam, alpha, level), dtype=torch.float64)
    torch.testing.assert_close(shaped, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("level", ["token", "sequence"])
@settings(max_examples=300, deadline=None)
@given(batch=rows, lam=lambdas, alpha=alphas)
def test_properties(level, batch, lam, alpha):
    a, h, cot = tensors(batch)
    shaped, bonus = shape_advantages(a, h, cot, lam, alpha, level)
    shaped = (shaped if shaped.dim() == 2 else shaped.unsqueeze(1)).expand_as(h)
    bonus = (bonus if bonus.dim() == 2 else bonus.unsqueeze(1)).expand_as(h)
    per_row = a.unsqueeze(1).expand_as(h)
    assert torch.isfinite(shaped).all()
    assert torch.equal(shaped.sign(), per_row.sign())  # alpha > 1 keeps the sign; 0 stays 0
    assert (bonus >= 0).all()
    assert (bonus <= per_row.abs() / alpha).all()
    without = ~cot if level == "token" else ~cot.any(dim=1, keepdim=True).expand_as(cot)
    assert torch.equal(shaped[without], per_row[without])  # no chain of thought: untouched
    if lam == 0:
        assert torch.equal(shaped, per_row)


def test_no_gradient_flows_through_the_entropy():
    entropies = torch.tensor([[0.3, 0.1]], requires_grad=True)
    for level in ("token", "sequence"):
        shaped, _ = shape_advantages(torch.tensor([1.0]), entropies, torch.tensor([[True, True]]), 0.4, 2.0, level)
        assert not shaped.requires_grad


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_broken_entropy_never_reaches_the_advantage(level, bad):
    entropies = torch.tensor([[bad, 0.1]])
    shaped, _ = shape_advantages(torch.tensor([-1.0]), entropies, torch.tensor([[True, True]]), 0.4, 2.0, level)
    assert torch.isfinite(shaped).all()
    assert (shaped <= -0.5).all()


def test_entropy_off_the_span_does_not_matter():
    entropies = torch.tensor([[math.nan, 0.1]])
    cot = torch.tensor([[False, True]])
    assert mean_cot_entropy(entropies, cot).item() == pytest.approx(0.1)


def test_bonus_keeps_the_dtype_of_the_advantages():
    bonus = entropy_bonus(torch.tensor([1.0]), torch.tensor([0.5], dtype=torch.bfloat16), 0.4, 2.0)
    assert bonus.dtype == torch.float32


def test_advantages_that_come_per_token():
    advantages = torch.tensor([[1.0, -2.0]])
    entropies = torch.tensor([[0.5, 0.5]])
    cot = torch.tensor([[True, True]])
    for level in ("token", "sequence"):
        shaped, _ = shape_advantages(advantages, entropies, cot, 0.4, 2.0, level)
        torch.testing.assert_close(shaped, torch.tensor([[1.2, -1.8]]))
