"""Dynamic sampling (DAPO, arXiv 2503.14476): groups without a gradient make room for groups of further prompts."""

import math
import operator
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch.nn.functional import pad

from .live_rows import live_rows, loss_mask, per_row


class SamplingRounds(NamedTuple):
    """What dynamic sampling did to one generation batch."""

    rollouts: list[int]
    groups_left: float


def prompts_of_round(wanted: int, available: int, group_size: int, num_processes: int) -> int:
    """
    Number of prompts of a further round: as many as wanted, rounded up so that every process gets equally many rollouts.

    Example:

    ```python
    >>> prompts_of_round(wanted=3, available=100, group_size=6, num_processes=4)  # 4 prompts: 6 rollouts a process
    4
    ```
    """
    unit = num_processes // math.gcd(num_processes, group_size)
    return min(-(-wanted // unit), available // unit) * unit


def put_rows(batch: dict[str, Any], rows: dict[int, dict[str, Any]], pad_token_id: int) -> dict[str, Any]:
    """Replace rows of a padded batch by rows of another one, which may be wider or narrower."""
    if not rows:
        return batch
    fill = {"prompt_ids": pad_token_id, "completion_ids": pad_token_id, "tool_mask": 1, "importance_sampling_ratio": 1}
    result = dict(batch)
    for name, value in batch.items():
        if isinstance(value, list):
            result[name] = [rows[place][name] if place in rows else item for place, item in enumerate(value)]
        elif per_row(value):
            new = {place: row[name].to(value.device) for place, row in rows.items()}
            if value.dim() > 1:
                width = max(value.shape[1], *(row.shape[0] for row in new.values()))
                value = _widen(value, width, name, fill.get(name, 0))
                new = {place: _widen(row, width, name, fill.get(name, 0)) for place, row in new.items()}
            places = torch.tensor(list(new), device=value.device)
            result[name] = value.index_copy(0, places, torch.stack(list(new.values())))
    return result


def empty_logs(logs: dict[str, Any]) -> dict[str, Any]:
    """Logs of TRL's completions table without a row."""
    return {name: defaultdict(deque) if isinstance(column, dict) else deque() for name, column in logs.items()}


def put_log_rows(logs: dict[str, Any], fresh: dict[str, Any], moves: dict[int, int], size: int) -> None:
    """Replace rows of the completions table, whose last `size` rows are the generation batch, in place."""
    for name, column in fresh.items():
        if isinstance(column, dict):
            put_log_rows(logs[name], column, moves, size)
            continue
        for new, old in moves.items():
            if new < len(column) and old < len(logs[name]):
                logs[name][len(logs[name]) - size + old] = column[new]


def _widen(values: torch.Tensor, width: int, name: str, fill: int) -> torch.Tensor:
    missing = width - values.shape[-1]
    return pad(values, (missing, 0) if name.startswith("prompt_") else (0, missing), value=fill)


def replace_dead_groups(
    batch: dict[str, Any],
    roll_out: Callable[[Sequence[int]], dict[str, Any]],
    order: Sequence[int],
    group_size: int,
    max_rounds: int,
    pad_token_id: int,
    accelerator: Accelerator,
    on_moves: Callable[[dict[int, int]], None] = lambda _: None,
) -> tuple[dict[str, Any], SamplingRounds]:
    """
    Sample further prompts until every group of a generation batch has a gradient, for a bounded number of rounds.

    A round samples as many prompts as there are groups left without a gradient, and the groups found to have one take
    their places, wherever these are. All processes decide on the same gathered facts, so they make the same calls; the
    resulting batch does not depend on the number of processes, up to sampling.
    """

    def has_gradient(share: dict[str, Any]) -> list[bool]:
        live = accelerator.gather(live_rows(share["advantages"], loss_mask(share)).int())
        found: list[bool] = live.view(-1, group_size).any(dim=1).tolist()
        return found

    size, rank = len(batch["advantages"]), accelerator.process_index
    states, used = has_gradient(batch), 0
    rollouts: list[int] = []
    dead = [group for group, live in enumerate(states) if not live]
    while dead and len(rollouts) < max_rounds:
        count = prompts_of_round(len(dead), len(order) - used, group_size, accelerator.num_processes)
        if not count:
            break  # every row has been sampled
        numbers = [number for number in order[used : used + count] for _ in range(group_size)]
        share = len(numbers) // accelerator.num_processes
        fresh = roll_out(numbers[rank * share : (rank + 1) * share])
        used += count
        rollouts.append(len(numbers))
        found = [group for group, live in enumerate(has_gradient(fresh)) if live]
        moves = {  # place among all new rollouts -> place in the whole generation batch
            new * group_size + row: old * group_size + row
            for old, new in zip(dead, found, strict=False)
            for row in range(group_size)
        }
        on_moves(moves)
        sent = [
            (moves[rank * share + row], {name: _row(value, row) for name, value in fresh.items() if per_row(value)})
            for row in range(share)
            if rank * share + row in moves
        ]
        received = {place - rank * size: row for place, row in gather_object(sent)}
        batch = put_rows(batch, {place: row for place, row in received.items() if 0 <= place < size}, pad_token_id)
        dead = dead[len(found) :]
    if rollouts:
        batch = {**batch, "num_items_in_batch": accelerator.gather(loss_mask(batch).sum()).sum()}
    return batch, SamplingRounds(rollouts, len(dead) / len(states))


def sampling_cost(
    rounds: SamplingRounds, batch_size: int, mean_lengths: Sequence[float], seconds: float
) -> dict[str, float]:
    """Metrics of dynamic sampling."""
    first, *further = mean_lengths
    tokens = sum(map(operator.mul, rounds.rollouts, further))
    return {
        "sampling_rounds": float(len(rounds.rollouts)),
        "extra_rollouts_ratio": sum(rounds.rollouts) / batch_size,
        "extra_tokens_ratio": tokens / max(1.0, batch_size * first),
        "extra_sampling_time": seconds,
        "dead_groups_ratio": rounds.groups_left,
    }


def _row(value: Any, row: int) -> Any:
    return value[row].cpu() if isinstance(value, torch.Tensor) else value[row]
