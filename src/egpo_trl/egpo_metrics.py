"""What EGPO did to a batch, as sums that add up over micro-batches and processes before they become means."""

import torch

from .advantages import mean_cot_entropy
from .grpo.compact_forward import ForwardWork

PREFIX = "egpo"

_SUMS = (
    "cot_entropy", "computed_cot_tokens", "answer_entropy", "computed_answer_tokens", "cot_tokens", "answer_tokens",
    "rows_with_cot", "rows_without_cot", "rows_with_tokens", "bonus", "could_get_bonus", "bonus_clipped", "could_clip",
    "rows", "rows_dropped", "positions", "positions_computed", "padding", "padding_removed",
)  # fmt: skip

# metric -> its numerator and denominator
_RATIOS = {
    "cot_entropy": ("cot_entropy", "computed_cot_tokens"),
    "answer_entropy": ("answer_entropy", "computed_answer_tokens"),
    "cot_length": ("cot_tokens", "rows_with_cot"),
    "no_cot_ratio": ("rows_without_cot", "rows_with_tokens"),
    "bonus": ("bonus", "could_get_bonus"),
    "bonus_clipped_ratio": ("bonus_clipped", "could_clip"),
    "dropped_rows_ratio": ("rows_dropped", "rows"),
    "padding_removed_ratio": ("padding_removed", "padding"),
    "computed_tokens_ratio": ("positions_computed", "positions"),
}

# TRL's means over tokens, and whether rows that were dropped are missing from them
_TOKEN_MEANS = {
    "entropy": True,
    "kl": True,
    "clip_ratio/low_mean": False,  # a row without advantage counts as not clipped, in TRL as here
    "clip_ratio/high_mean": False,
    "clip_ratio/region_mean": False,
    "cispo_clip_ratio": False,
}

_SEQUENCE_MEAN = "vespo/phi_seq_mean"  # a mean over rows, in which a dropped row is on-policy and weighs 1


def sum_statistics(
    advantages: torch.Tensor,
    bonus: torch.Tensor,
    entropies: torch.Tensor,
    cot_mask: torch.Tensor,
    bonus_mask: torch.Tensor,
    policy_mask: torch.Tensor,
    egpo_lambda: float,
    egpo_alpha: float,
    computed_rows: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    Sums and counts of one micro-batch, for [`ratios`]; those of [`work_statistics`] are added behind them.

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
        computed_rows (`torch.Tensor`, *optional*):
            Boolean mask of the rows whose entropies are known, shape (B,). By default all. The others count wherever
            no entropy is needed: their chain of thought has a length, and their bonus is 0 since their advantage is.

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


def work_statistics(attention_mask: torch.Tensor, work: ForwardWork | None) -> torch.Tensor:
    """
    What a forward pass left out of one micro-batch, for [`ratios`].

    Args:
        attention_mask (`torch.Tensor`):
            Mask of prompts and completions as they were padded for the whole generation batch, shape (B, P + T).
        work ([`ForwardWork`], *optional*):
            What was computed. By default everything.

    Returns:
        `torch.Tensor`:
            Float vector.
    """
    positions, padding = attention_mask.numel(), attention_mask.numel() - attention_mask.sum()
    dropped = 0 if work is None else len(attention_mask) - work.rows
    computed = positions if work is None else work.positions
    removed = 0 if work is None else padding - (work.positions - work.tokens)
    values = [len(attention_mask), dropped, positions, computed, padding, removed]
    return torch.stack([torch.as_tensor(value, device=padding.device).float() for value in values])


def ratios(sums: torch.Tensor) -> dict[str, float]:
    """
    Metrics by name from the added-up vectors of [`sum_statistics`] and [`work_statistics`]; a metric with nothing to
    average is left out.

    Args:
        sums (`torch.Tensor`):
            Sum over micro-batches and processes.

    Returns:
        `dict[str, float]`:
            Metrics, each named `egpo/…`.
    """
    values = dict(zip(_SUMS, sums.tolist(), strict=True))
    return {
        f"{PREFIX}/{name}": values[top] / values[bottom] for name, (top, bottom) in _RATIOS.items() if values[bottom]
    }


def weigh_means(metrics: dict[str, list[float]], sums: torch.Tensor, per_token: bool) -> None:
    """
    Turn TRL's means over micro-batches into means over tokens, and the dropped rows out of them.

    TRL averages one mean a micro-batch, each with the weight 1. Once rows are sorted by length, or left out, that would
    favour the tokens of short or computed rows.

    Args:
        metrics (`dict[str, list[float]]`):
            TRL's metrics since the last log, one value a micro-batch. Changed in place; a metric without a computed
            token is removed.
        sums (`torch.Tensor`):
            Vectors of [`sum_statistics`] and [`work_statistics`], one row a micro-batch, added up over processes.
        per_token (`bool`):
            Whether clip ratios are per token; per sequence they have a weight of 1 a row already.
    """
    columns = dict(zip(_SUMS, sums.T.tolist(), strict=True))
    tokens = [a + b for a, b in zip(columns["cot_tokens"], columns["answer_tokens"], strict=True)]
    computed = sum(columns["computed_cot_tokens"]) + sum(columns["computed_answer_tokens"])
    for name, computed_only in _TOKEN_MEANS.items():
        if name not in metrics or not (per_token or computed_only):
            continue
        total = sum(value * count for value, count in zip(metrics[name], tokens, strict=True))
        count = computed if computed_only else sum(tokens)
        if count:
            metrics[name] = [total / count]
        else:
            del metrics[name]
    if _SEQUENCE_MEAN in metrics:
        rows, dropped = columns["rows"], sum(columns["rows_dropped"])
        if sum(rows) == dropped:
            del metrics[_SEQUENCE_MEAN]
            return
        total = sum(value * count for value, count in zip(metrics[_SEQUENCE_MEAN], rows, strict=True))
        metrics[_SEQUENCE_MEAN] = [(total - dropped) / (sum(rows) - dropped)]
