"""Finds the rows with a gradient, and distributes rows over the micro-batches of an optimizer step."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch

Row = TypeVar("Row")


def loss_mask(inputs: dict[str, Any]) -> torch.Tensor:
    """1 at tokens that the policy generated and that enter the loss, shape (B, T)."""
    mask: torch.Tensor = inputs["completion_mask"] * inputs.get("tool_mask", 1)
    return mask


def live_rows(advantages: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """
    Mask (B,) of the rows with a policy gradient: advantages, (B,) or (B, T), that are not all 0, and at least one token
    in the [`loss_mask`] (B, T).
    """
    per_row = advantages.unsqueeze(1) if advantages.dim() == 1 else advantages
    return (per_row != 0).any(dim=1) & mask.bool().any(dim=1)


_STORED_LOGPS = ("old_per_token_logps", "ref_per_token_logps", "sampling_per_token_logps")


def blank_rows(inputs: dict[str, Any], dropped: torch.Tensor) -> dict[str, torch.Tensor]:
    """
    New entries of a batch that make its dropped rows, mask (B,), on-policy: stored log-probabilities 0, as the forward
    pass leaves them, and vLLM's importance ratios 1.

    The ratio between the policy and any other one is then 1 in these rows. A ratio between 0 and a stored
    log-probability could overflow, and infinity times an advantage of 0 is NaN.
    """
    values = {**dict.fromkeys(_STORED_LOGPS, 0.0), "importance_sampling_ratio": 1.0}
    return {
        name: inputs[name].masked_fill(dropped.unsqueeze(1), value)
        for name, value in values.items()
        if inputs.get(name) is not None
    }


def check_scored(inputs: dict[str, Any], live: torch.Tensor, logps: torch.Tensor) -> None:
    """
    Raise a `RuntimeError` if the old or the reference policy has not scored a row that enters the loss: both leave out
    rows without an advantage, with NaN in their place. `live` is (B,), `logps` of the policy (B, T).
    """
    mask = inputs["completion_mask"].bool() & live.unsqueeze(1) & ~logps.isnan()  # a diverged policy is another matter
    for name in ("old_per_token_logps", "ref_per_token_logps"):
        if inputs.get(name) is None:
            continue
        unknown = (inputs[name].isnan() & mask).any(dim=1)
        if unknown.any():
            raise RuntimeError(
                f"Rows {unknown.nonzero().flatten().tolist()} of a micro-batch have an advantage, but had none when "
                f"their completions were scored, so their {name} were not computed. Set drop_zero_advantages='never' "
                "where advantages change after scoring."
            )


def even_runs(rows: Sequence[Row], num_runs: int) -> list[list[Row]]:
    """
    Cut a sequence into runs whose lengths differ by at most one, the longer ones last.

    Example:

    ```python
    >>> even_runs([5, 3, 8, 1, 4], 2)
    [[5, 3], [8, 1, 4]]
    ```
    """
    edges = [index * len(rows) // num_runs for index in range(num_runs + 1)]
    return [list(rows[start:end]) for start, end in pairwise(edges)]


def prompt_groups(prompt_ids: torch.Tensor, prompt_mask: torch.Tensor) -> list[int]:
    """Number of the prompt of each row: rows with the same tokens have the same number."""
    ids = torch.where(prompt_mask.bool(), prompt_ids, -1).cpu().numpy()
    numbers: dict[bytes, int] = {}
    return [numbers.setdefault(row[row >= 0].tobytes(), len(numbers)) for row in ids]


def sort_groups(rows: Sequence[int], groups: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """Rows with the groups together, the group with the longest row first, rows of a group from long to short."""
    longest: dict[int, int] = {}
    for row in rows:
        longest[groups[row]] = max(longest.get(groups[row], 0), lengths[row])
    return sorted(rows, key=lambda row: (-longest[groups[row]], groups[row], -lengths[row]))


def micro_batch_order(
    lengths: Sequence[int], live: Sequence[bool], num_micro_batches: int, groups: Sequence[int] | None = None
) -> list[int]:
    """
    Order of the rows of one optimizer step that leaves the least padding in its micro-batches.

    Live rows go from the longest to the shortest, so that a micro-batch holds rows of similar length, and every
    micro-batch gets the same number of them: fewer live rows then mean smaller micro-batches, which need less memory and
    hold closer lengths than a few full ones. The other rows fill up.
    """
    size = len(lengths) // num_micro_batches
    ranked = [row for row in range(len(lengths)) if live[row]]
    ranked = sorted(ranked, key=lambda row: -lengths[row]) if groups is None else sort_groups(ranked, groups, lengths)
    fill = iter([row for row in range(len(lengths)) if not live[row]])
    order: list[int] = []
    for run in even_runs(ranked, num_micro_batches):
        order += run + [next(fill) for _ in range(size - len(run))]
    return order


def sort_micro_batches(
    micro_batches: list[dict[str, Any]], micro_batches_per_step: int, drop: bool, by_group: bool = False
) -> list[dict[str, Any]]:
    """Exchange rows between the micro-batches of each optimizer step according to [`micro_batch_order`]."""
    if micro_batches_per_step < 2 or "num_images" in micro_batches[0]:
        return micro_batches
    result: list[dict[str, Any]] = []
    for start in range(0, len(micro_batches), micro_batches_per_step):
        step = micro_batches[start : start + micro_batches_per_step]
        lengths = torch.cat([batch["prompt_mask"].sum(dim=1) + batch["completion_mask"].sum(dim=1) for batch in step])
        live = torch.ones_like(lengths, dtype=torch.bool)
        if drop:
            live = torch.cat([live_rows(batch["advantages"], loss_mask(batch)) for batch in step])
        if live.all() and (lengths == lengths[0]).all() and not by_group:
            result += step
            continue
        rows = {name: _concatenate([batch[name] for batch in step]) for name in step[0]}
        groups = prompt_groups(rows["prompt_ids"], rows["prompt_mask"]) if by_group else None
        order = micro_batch_order(lengths.tolist(), live.tolist(), len(step), groups)
        result += [
            {name: select_rows(value, part) for name, value in rows.items()} for part in even_runs(order, len(step))
        ]
    return result


def per_row(value: Any) -> bool:
    """Whether an entry of a batch has one item for each row."""
    return isinstance(value, list) or (isinstance(value, torch.Tensor) and value.dim() > 0)


def _concatenate(parts: list[Any]) -> Any:
    if not per_row(parts[0]):
        return parts[0]  # one value for the generation batch, such as its number of tokens
    return torch.cat(parts) if isinstance(parts[0], torch.Tensor) else [item for part in parts for item in part]


def select_rows(value: Any, rows: list[int]) -> Any:
    """Some rows of an entry of a batch; a value that the whole batch has stays."""
    if not per_row(value):
        return value
    return value[rows] if isinstance(value, torch.Tensor) else [value[row] for row in rows]
