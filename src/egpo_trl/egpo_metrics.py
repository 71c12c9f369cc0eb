"""Metrics of EGPO, as sums that add up over micro-batches and processes before they become means."""

import torch

from .advantages import mean_cot_entropy

PREFIX = "egpo"

_SUMS = (
    "cot_entropy", "computed_cot_tokens", "answer_entropy", "computed_answer_tokens", "cot_tokens", "answer_tokens",
    "rows_with_cot", "rows_without_cot", "rows_with_tokens", "bonus", "could_get_bonus", "bonus_clipped", "could_clip",
)  # fmt: skip

# metric -> its numerator and denominator
_RATIOS = {
    "cot_entropy": ("cot_entropy", "computed_cot_tokens"),
    "answer_entropy": ("answer_entropy", "computed_answer_tokens"),
    "cot_length": ("cot_tokens", "rows_with_cot"),
    "no_cot_ratio": ("rows_without_cot", "rows_with_tokens"),
    "bonus": ("bonus", "could_get_bonus"),
    "bonus_clipped_ratio": ("bonus_clipped", "could_clip"),
}


def sum_statistics(
    advantages: torch.Tensor,
    shaped: torch.Tensor,
    entropies: torch.Tensor,
    cot_mask: torch.Tensor,
    bonus_mask: torch.Tensor,
    policy_mask: torch.Tensor,
    egpo_lambda: float,
    egpo_alpha: float,
    computed_rows: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    Sums and counts of one micro-batch, for [`ratios`].

    `advantages` and `shaped` have shape (B,) or (B, T); entropies in nats and the boolean masks have shape (B, T).
    `computed_rows` (B,) marks the rows whose entropies are known, `None` means all. The others count wherever no
    entropy is needed: their chain of thought has a length, and their bonus is 0 since their advantage is. Rollouts
    without a policy token (masked truncated completions) are in none of the sums.
    """
    entropies = entropies.detach().float().nan_to_num(nan=0.0)
    answer_mask = policy_mask & ~cot_mask
    alive, has_cot = policy_mask.any(dim=1), cot_mask.any(dim=1)
    per_token = shaped.dim() == 2
    advantages, shaped = (x.unsqueeze(1) if x.dim() == 1 else x for x in (advantages, shaped))
    bonus = shaped - advantages
    could_get = bonus_mask if per_token else bonus_mask.any(dim=1, keepdim=True)
    unclipped = egpo_lambda * (entropies if per_token else mean_cot_entropy(entropies, bonus_mask).unsqueeze(1))
    could_clip = could_get & (advantages != 0)
    computed_cot, computed_answer = cot_mask, answer_mask
    if computed_rows is not None:
        computed_cot = cot_mask & computed_rows.unsqueeze(1)
        computed_answer = answer_mask & computed_rows.unsqueeze(1)
    sums = [
        torch.where(computed_cot, entropies, 0.0).sum(),
        computed_cot.sum(),
        torch.where(computed_answer, entropies, 0.0).sum(),
        computed_answer.sum(),
        cot_mask.sum(),
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
    """Metrics `egpo/…` from the sum of the vectors of [`sum_statistics`]; one with nothing to average is left out."""
    values = dict(zip(_SUMS, sums.tolist(), strict=True))
    return {
        f"{PREFIX}/{name}": values[top] / values[bottom] for name, (top, bottom) in _RATIOS.items() if values[bottom]
    }
