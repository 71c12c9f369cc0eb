"""One forward pass over packs of rows, with results in the shape of the unpacked batch."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers.masking_utils import create_causal_mask

from .pack_attention import mark_causal
from .prefix_tree import Pack, Tokens, build_pack, sort_rows, split_into_runs

# Takes input ids, positions, masks and labels of packs; returns an output with `log_probs` and `entropy`, shape (K, N).
PackedModel = Callable[..., Any]

# A pair of a query and a key costs this many times its multiplications: kernels with a mask compute all pairs of a pack,
# and softmax is not a matrix product. Found by timing Qwen3 policies on a CPU, see benchmarks/update_speed.py.
PAIR_OVERHEAD = 2.0


class PassCost(NamedTuple):
    """Multiplications of a forward pass: for each token in the weights, and for each pair of tokens in attention."""

    token: float
    pair: float

    def of(self, tokens: int) -> float:
        """The cost of one sequence."""
        return self.token * tokens + PAIR_OVERHEAD * self.pair * tokens * tokens


class Plan(NamedTuple):
    """Packs of one forward pass, and the positions that it computes, padding included."""

    packs: list[Pack]
    width: int


def row_tokens(input_ids: torch.Tensor, attention_mask: torch.Tensor, rows: Sequence[int]) -> dict[int, Tokens]:
    """The tokens of some rows without padding."""
    ids, mask = input_ids[list(rows)].cpu().numpy(), attention_mask[list(rows)].bool().cpu().numpy()
    return {row: ids[at][mask[at]] for at, row in enumerate(rows)}


def plan_packs(tokens: Mapping[int, Tokens], cost: PassCost, max_pairs: int) -> Plan | None:
    """
    The packs that cost least, or `None` where no prefix is worth sharing.

    `max_pairs` bounds the attention mask of the pass: packs are split until it holds.
    """
    rows = [row for row in tokens if len(tokens[row])]
    if len(rows) < 2:
        return None
    order, shared = sort_rows([tokens[row] for row in rows])
    lengths = [len(tokens[rows[at]]) for at in order]
    max_tokens = max(max(lengths), int(max_pairs**0.5))
    while True:
        runs = split_into_runs(lengths, shared, cost.of, max_tokens)
        if len(runs) == len(rows):
            return None
        packs = [build_pack({rows[at]: tokens[rows[at]] for at in order[start:end]}) for start, end in runs]
        widest = max(packs, key=lambda pack: len(pack.tokens))
        width = len(widest.tokens)
        if len(packs) * width * width <= max_pairs:
            break
        if len(widest.places) == 1:  # a row alone cannot be split
            return None
        max_tokens = width - 1
    unpacked = len(rows) * max(lengths)
    if len(packs) * cost.of(width) >= len(rows) * cost.of(max(lengths)) or len(packs) * width >= unpacked:
        return None
    return Plan(packs, width)


def attention_masks(config: Any, packs: Sequence[Pack], width: int, dtype: torch.dtype, device: Any) -> Any:
    """
    Masks in which each token sees its own row, in the form that the attention implementation takes: one, or one for each
    kind of layer. The distance of a sliding window is that of positions, not of places in the pack.
    """
    position, enter, leave = (
        torch.from_numpy(np.stack([_filled(getattr(pack, name), width, fill) for pack in packs])).to(device)
        for name, fill in (("positions", 0), ("enter", -1), ("leave", 0))
    )
    text = config.get_text_config()

    def sees(window: int | None, batch: Any, head: Any, query: Any, key: Any) -> Any:
        # Padding sees padding, so that no row of the mask is empty.
        is_ancestor = (enter[batch, key] <= enter[batch, query]) & (enter[batch, query] < leave[batch, key])
        if window is None:
            return is_ancestor
        return is_ancestor & (position[batch, query] - position[batch, key] < window)

    def mask(kind: str) -> Any:
        window = text.sliding_window if kind == "sliding_attention" else None
        like = torch.empty(len(packs), width, 0, dtype=dtype, device=device)
        made = create_causal_mask(
            text,
            inputs_embeds=like,
            attention_mask=None,
            past_key_values=None,
            and_mask_function=partial(sees, window),
        )
        return mark_causal(made)

    kinds = layer_kinds(text)
    return {kind: mask(kind) for kind in kinds} if len(kinds) > 1 else mask(kinds[0])


def layer_kinds(text_config: Any) -> list[str]:
    """The kinds of attention layers of a model."""
    types = getattr(text_config, "layer_types", None)
    if types:
        return sorted(set(types))
    return ["sliding_attention" if getattr(text_config, "sliding_window", None) else "full_attention"]


def _filled(values: np.ndarray, width: int, fill: int) -> np.ndarray:
    return np.pad(values, (0, width - len(values)), constant_values=fill)


def run_packed(
    model: PackedModel,
    config: Any,
    plan: Plan,
    tokens: Mapping[int, Tokens],
    attention_mask: torch.Tensor,
    logits_to_keep: int,
    dtype: torch.dtype,
    compute_entropy: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """
    Log-probabilities and entropies of the completion tokens of the rows of a plan, each of shape (rows, T) in the order
    of `tokens`. `attention_mask` (rows, P + T) belongs to the same rows.
    """
    packs, width = plan
    device = attention_mask.device
    labels = np.full((len(packs), width), -100)
    index = np.full((len(tokens), logits_to_keep), -1)
    at = {row: number for number, row in enumerate(tokens)}
    completion_masks = attention_mask[:, -logits_to_keep:].bool().cpu().numpy()
    for number, pack in enumerate(packs):
        for row, places in pack.places.items():
            columns = np.flatnonzero(completion_masks[at[row]])
            start = len(tokens[row]) - len(columns)
            if not start:  # no prompt token could predict the first one
                columns, start = columns[1:], 1
            sources = places[start - 1 : start - 1 + len(columns)]
            labels[number, sources] = tokens[row][start:]
            index[at[row], columns] = number * width + sources
    input_ids = np.stack([_filled(pack.tokens, width, 0) for pack in packs])
    positions = np.stack([_filled(pack.positions, width, 0) for pack in packs])
    output = model(
        input_ids=torch.from_numpy(input_ids).to(device),
        position_ids=torch.from_numpy(positions).to(device),
        attention_mask=attention_masks(config, packs, width, dtype, device),
        shift_labels=torch.from_numpy(labels).to(device),
    )
    chosen = torch.from_numpy(index).to(device)

    def unpack(values: torch.Tensor) -> torch.Tensor:
        picked = values.reshape(-1)[chosen.clamp(min=0)]
        return torch.where(chosen >= 0, picked, torch.zeros_like(picked))

    return unpack(output.log_probs), unpack(output.entropy) if compute_entropy else None
