"""Entropy-shaped advantages: equations 4 and 5 of EGPO (arXiv 2508.05118) as pure functions.

Equation 1, the group-relative advantage, is TRL's own ([`~trl.GRPOTrainer`] computes it when it scores the rollouts).
"""

import torch


def mean_cot_entropy(entropies: torch.Tensor, cot_mask: torch.Tensor) -> torch.Tensor:
    """
    Mean entropy of each rollout's chain of thought (Eq. 4).

    Args:
        entropies (`torch.Tensor`):
            Entropy of the policy's next-token distribution at every completion token, in nats, shape (B, T).
        cot_mask (`torch.Tensor`):
            Boolean mask of the chain-of-thought tokens, shape (B, T).

    Returns:
        `torch.Tensor`:
            E_i, shape (B,), in nats; 0 for a rollout without a chain of thought.
    """
    total = torch.where(cot_mask, entropies, 0.0).sum(dim=1)
    return total / cot_mask.sum(dim=1).clamp(min=1)


def entropy_bonus(
    advantages: torch.Tensor, entropies: torch.Tensor, egpo_lambda: float, egpo_alpha: float
) -> torch.Tensor:
    """
    The clipped entropy bonus of Eq. 5, `min(lambda * E, |A| / alpha)`, element by element.

    lambda multiplies the entropy before the clip, so the bonus never exceeds `|A| / alpha`: with `alpha > 1` it cannot
    flip the sign of an advantage, and an advantage of 0 gets no bonus. An entropy that is NaN counts as 0.

    Args:
        advantages (`torch.Tensor`):
            Advantages A, broadcastable against `entropies`.
        entropies (`torch.Tensor`):
            Entropies E in nats. No gradient flows through them.
        egpo_lambda (`float`):
            Scale of the bonus, at least 0.
        egpo_alpha (`float`):
            Clip of the bonus relative to `|A|`, greater than 1.

    Returns:
        `torch.Tensor`:
            The bonus, between 0 and `|A| / alpha`, in the dtype of `advantages`.
    """
    scaled = egpo_lambda * entropies.detach().to(advantages.dtype).nan_to_num(nan=0.0).clamp(min=0.0)
    return torch.minimum(scaled, advantages.abs() / egpo_alpha)


def shape_advantages(
    advantages: torch.Tensor,
    entropies: torch.Tensor,
    cot_mask: torch.Tensor,
    egpo_lambda: float,
    egpo_alpha: float,
    entropy_level: str = "token",
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Add the entropy bonus to the advantages (Eq. 5), per token or per sequence.

    Args:
        advantages (`torch.Tensor`):
            Group-relative advantages, shape (B,) or (B, T).
        entropies (`torch.Tensor`):
            Entropy at every completion token, in nats, shape (B, T).
        cot_mask (`torch.Tensor`):
            Boolean mask of the chain-of-thought tokens, shape (B, T).
        egpo_lambda (`float`):
            Scale of the bonus, at least 0.
        egpo_alpha (`float`):
            Clip of the bonus relative to `|A|`, greater than 1.
        entropy_level (`str`, *optional*, defaults to `"token"`):
            `"token"`: every chain-of-thought token gets the bonus of its own entropy, every other token keeps A.
            `"sequence"`: every token of a rollout gets the bonus of the mean entropy of its chain of thought, the form
            of the paper; advantages of shape (B,) keep that shape.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`:
            The shaped advantages and the bonus that was added, both of shape (B, T) for `"token"` and of the shape of
            `advantages` for `"sequence"`. A rollout without chain of thought keeps its advantages.
    """
    per_row = advantages.unsqueeze(1) if advantages.dim() == 1 else advantages
    if entropy_level == "token":
        bonus = torch.where(cot_mask, entropy_bonus(per_row, entropies, egpo_lambda, egpo_alpha), 0.0)
        return per_row + bonus, bonus
    mean_entropies = mean_cot_entropy(entropies.nan_to_num(nan=0.0), cot_mask)  # (B,), 0 without chain of thought
    mean_entropies = mean_entropies if advantages.dim() == 1 else mean_entropies.unsqueeze(1)
    bonus = entropy_bonus(advantages, mean_entropies, egpo_lambda, egpo_alpha)
    return advantages + bonus, bonus
