"""Metrics of the work that updates left out, and TRL's means corrected for it."""

import torch

from .compact_forward import ForwardWork

PREFIX = "update"

_SUMS = (
    "rows", "rows_dropped", "positions", "positions_computed", "padding", "padding_removed", "tokens", "tokens_computed",
)  # fmt: skip

# metric -> its numerator and denominator
_RATIOS = {
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


def work_sums(
    policy_mask: torch.Tensor, attention_mask: torch.Tensor, live: torch.Tensor | None, work: ForwardWork | None
) -> torch.Tensor:
    """
    Counts of one micro-batch, which add up over micro-batches and processes before they become ratios.

    `policy_mask` (B, T) marks the policy's tokens, `attention_mask` (B, P + T) is padded as for the generation batch,
    `live` (B,) marks computed rows; `None` means all.
    """
    positions, padding = attention_mask.numel(), attention_mask.numel() - attention_mask.sum()
    dropped = 0 if work is None else len(attention_mask) - work.rows
    computed = positions if work is None else work.positions
    # Packed rows hold fewer positions than tokens: that is not padding.
    removed = 0 if work is None else padding - max(0, work.positions - work.tokens)
    tokens = policy_mask.sum()
    tokens_computed = tokens if live is None else (policy_mask * live.unsqueeze(1)).sum()
    values = [len(attention_mask), dropped, positions, computed, padding, removed, tokens, tokens_computed]
    return torch.stack([torch.as_tensor(value, device=padding.device).float() for value in values])


def work_ratios(sums: torch.Tensor) -> dict[str, float]:
    """Metrics `update/…` from the sum of the vectors of [`work_sums`]."""
    values = dict(zip(_SUMS, sums.tolist(), strict=True))
    return {f"{PREFIX}/{name}": values[top] / values[low] for name, (top, low) in _RATIOS.items() if values[low]}


def clipped(
    ratio: torch.Tensor, advantages: torch.Tensor, epsilon_low: float, epsilon_high: float
) -> dict[str, torch.Tensor]:
    """Where TRL's losses clip an importance ratio (B, 1) for advantages (B, T), by the name of the metric."""
    low = (ratio < 1 - epsilon_low) & (advantages < 0)
    high = (ratio > 1 + epsilon_high) & (advantages > 0)
    return {
        "clip_ratio/low_mean": low,
        "clip_ratio/high_mean": high,
        "clip_ratio/region_mean": low | high,
        "cispo_clip_ratio": (ratio > epsilon_high) & (advantages > 0),
    }


def mean_of_rows(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of each row (B, T) over its tokens; of a row without tokens the first value, which is that of the row."""
    count = mask.sum(-1)
    return torch.where(count > 0, (values * mask).sum(-1) / count.clamp(min=1), values[:, 0])


def weigh_means(metrics: dict[str, list[float]], sums: torch.Tensor, per_token: bool) -> None:
    """
    Turn TRL's means over micro-batches into means over tokens without the dropped rows, in place.

    TRL averages one mean a micro-batch, each with the weight 1. Once rows are sorted by length, or left out, that favours
    the tokens of short or computed rows. `sums` holds one vector of [`work_sums`] a micro-batch; `per_token` tells
    whether clip ratios are per token (per sequence they have a weight of 1 a row already).
    """
    columns = dict(zip(_SUMS, sums.T.tolist(), strict=True))
    tokens, computed = columns["tokens"], sum(columns["tokens_computed"])
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
