"""What EGPO did to a batch, as sums that add up over micro-batches and processes before they become means."""

import torch

from .advantages import mean_cot_entropy

PREFIX = "egpo"

# name -> (index of the numerator, index of the denominator) in the vector of `sum_statistics`
_RATIOS = {
    "cot_entropy": (0, 1),
    "answer_entropy": (2, 3),
    "cot_length": (1, 4),
    "no_cot_ratio": (5, 6),
    "bonus": (7, 8),
    "bonus_clipped_ratio": (9, 10),
}


def sum_statistics(
    advantages: torch.Tensor,
    bonus: torch.Tensor,
    entropies: torch.Tensor,
    cot_mask: torch.Tensor,
    bonus_mask: torch.Tensor,
    policy_mask: torch.Tensor,
    egpo_lambda: float,
    egpo_alpha: float,
) -> torch.Tensor:
    """
    Sums and counts of one micro-batch, for [`ratios`].

    Args:
        advantages (`torch.Tensor`):
            Advantages before shaping, shape (B,) or (B, T).
        bonus (`torch.Tensor`):
            Entropy bonus, shape (B,), (B, 1) or (B, T): one value a rollout, or one a token.
        entropies (`torch.Tensor`):
            Entropy of every completion token, in nats, shape (B, T).
        cot_mask (`torch.Tensor`):
            Boolean mask of the chain-of-thought tokens, shape (B, T).
        bonus_mask (`torch.Tensor`):
            Boolean mask of the tokens whose entropy enters the bonus, shape (B, T).
        policy_mask (`torch.Tensor`):
            Boolean mask of the tokens that the policy generated, shape (B, T).
        egpo_lambda (`float`):
            Scale of the bonus.
        egpo_alpha (`float`):
            Clip of the bonus.

    Returns:
        `torch.Tensor`:
            Float vector. Rollouts without a single policy token (masked truncated completions) are in none of the sums.
    """
    entropies = entropies.detach().float().nan_to_num(nan=0.0)
    answer_mask = policy_mask & ~cot_mask
    alive, has_cot = policy_mask.any(dim=1), cot_mask.any(dim=1)
    advantages = advantages.unsqueeze(1) if advantages.dim() == 1 else advantages
    if bonus.numel() == entropies.numel():
        could_get = bonus_mask
        bonus, unclipped = bonus.reshape_as(entropies), egpo_lambda * entropies
    else:
        could_get = bonus_mask.any(dim=1, keepdim=True)
        bonus, unclipped = bonus.reshape(-1, 1), egpo_lambda * mean_cot_entropy(entropies, bonus_mask).unsqueeze(1)
    could_clip = could_get & (advantages != 0)
    sums = [
        torch.where(cot_mask, entropies, 0.0).sum(),
        cot_mask.sum(),
        torch.where(answer_mask, entropies, 0.0).sum(),
        answer_mask.sum(),
        has_cot.sum(),
        (alive & ~has_cot).sum(),
        alive.sum(),
        torch.where(could_get, bonus, 0.0).sum(),
        could_get.sum(),
        (could_clip & (unclipped > advantages.abs() / egpo_alpha)).sum(),
        could_clip.sum(),
    ]
    return torch.stack([value.float() for value in sums])


def ratios(sums: torch.Tensor) -> dict[str, float]:
    """
    Metrics by name from the added-up vectors of [`sum_statistics`]; a metric with nothing to average is left out.

    Args:
        sums (`torch.Tensor`):
            Sum over micro-batches and processes.

    Returns:
        `dict[str, float]`:
            Metrics, each named `egpo/…`.
    """
    values = sums.tolist()
    return {
        f"{PREFIX}/{name}": values[top] / values[bottom] for name, (top, bottom) in _RATIOS.items() if values[bottom]
    }
