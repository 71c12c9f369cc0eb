"""Forward passes over the rows and columns that are needed, with results in the shape of the whole batch."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn.functional import pad

from .live_rows import even_runs, prompt_groups, sort_groups
from .update_options import UpdateOptions

# (input ids, attention mask, logits_to_keep) -> (log-probabilities, entropies, auxiliary loss)
Outputs = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]
Forward = Callable[[torch.Tensor, torch.Tensor, int], Outputs]
# (input ids, attention mask, logits_to_keep) -> (log-probabilities, entropies, computed positions); `None`: not worth it
SharedForward = Callable[[torch.Tensor, torch.Tensor, int], tuple[torch.Tensor, torch.Tensor | None, int] | None]


class ForwardWork(NamedTuple):
    """What a forward pass computed: rows, positions (padding included) and positions that hold a token."""

    rows: int
    positions: int
    tokens: int


def token_spans(attention_mask: torch.Tensor, logits_to_keep: int) -> torch.Tensor:
    """
    Columns (B, 2) that each row needs: of its left-padded prompt from the right, of its right-padded completion from the
    left. The mask is (B, P + T), with `logits_to_keep` = T.
    """
    mask = attention_mask.bool().long()
    prompt_mask, completion_mask = mask[:, :-logits_to_keep], mask[:, -logits_to_keep:]
    from_end = torch.arange(prompt_mask.shape[1], 0, -1, device=mask.device)
    from_start = torch.arange(1, logits_to_keep + 1, device=mask.device)
    return torch.stack([(prompt_mask * from_end).amax(dim=1), (completion_mask * from_start).amax(dim=1)], dim=1)


def padded_length(length: int, limit: int, multiple: int = 1) -> int:
    """Number of columns to compute for a longest span: at least one, a multiple of `multiple`, at most all."""
    return min(limit, max(1, -(-length // multiple)) * multiple)


def _widen(values: torch.Tensor, width: int) -> torch.Tensor:
    return values if values.shape[1] == width else pad(values, (0, width - values.shape[1]))  # pad always copies


def compact_forward(
    forward: Forward,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    logits_to_keep: int,
    options: UpdateOptions,
    live: torch.Tensor | None = None,
    num_calls: int = 1,
    pad_to_multiple_of: int | None = None,
    shared_forward: SharedForward | None = None,
) -> tuple[Outputs, ForwardWork]:
    """
    Run `forward` on the live rows, each call on the columns that its rows need, and put the results into place.

    `input_ids` and `attention_mask` are (B, P + T), with `logits_to_keep` = T; `live` (B,) marks the rows to compute, by
    default all. `shared_forward` replaces `forward` where it finds a prefix worth sharing. The results have the shapes
    of the whole batch and are 0 where nothing was computed, as [`~trl.GRPOTrainer`] has them at padding.

    `num_calls` is the same on every process. A call without a live
    row runs on a single prompt and completion token, which keeps the output connected to every parameter, with gradient
    0, as distributed training requires.
    """
    num_rows, width = input_ids.shape
    prompt_width = width - logits_to_keep
    spans: list[tuple[int, int]] = token_spans(attention_mask, logits_to_keep).tolist()
    rows = list(range(num_rows)) if live is None else live.nonzero().flatten().tolist()
    if num_calls > 1:
        lengths = [sum(span) for span in spans]
        if shared_forward is None:
            rows.sort(key=lambda row: -lengths[row])
        else:
            rows = sort_groups(
                rows, prompt_groups(input_ids[:, :prompt_width], attention_mask[:, :prompt_width]), lengths
            )

    results: list[Outputs] = []
    chunks, positions = [], 0
    for chunk in even_runs(rows, num_calls):
        multiple, is_stub = pad_to_multiple_of or 1, not chunk
        shared = None
        if shared_forward is not None and chunk:
            shared = shared_forward(input_ids[chunk], attention_mask[chunk], logits_to_keep)
        if shared is not None:
            results.append((shared[0], shared[1], None))
            chunks.append(chunk)
            positions += shared[2]
            continue
        needed = [1, 1] if is_stub else [max(column) for column in zip(*(spans[row] for row in chunk), strict=True)]
        chunk = chunk or [0]
        prompt = padded_length(needed[0], prompt_width, multiple) if options.trim_prompts or is_stub else prompt_width
        keep = (
            padded_length(needed[1], logits_to_keep, multiple)
            if options.trim_completions or is_stub
            else logits_to_keep
        )
        columns = slice(prompt_width - prompt, prompt_width + keep)
        whole = len(chunk) == num_rows
        ids, mask = (x[:, columns] if whole else x[chunk, columns] for x in (input_ids, attention_mask))
        ids, mask = ids.contiguous(), mask.contiguous()  # torch.compile would compile once more for other strides
        logps, entropies, aux_loss = forward(ids, mask, keep)
        if is_stub:
            logps, entropies = logps * 0.0, None if entropies is None else entropies * 0.0
        results.append((logps, entropies, aux_loss))
        chunks.append(chunk)
        positions += len(chunk) * (prompt + keep)

    def gather(values: list[torch.Tensor]) -> torch.Tensor:
        values = [_widen(value, logits_to_keep) for value in values]
        if chunks == [list(range(num_rows))]:
            return values[0]
        index = torch.tensor([row for chunk in chunks for row in chunk], device=input_ids.device)
        return values[0].new_zeros(num_rows, logits_to_keep).index_add(0, index, torch.cat(values))

    all_logps, all_entropies, aux_losses = zip(*results, strict=True)
    outputs = (
        gather(list(all_logps)),
        None if all_entropies[0] is None else gather(list(all_entropies)),
        None if aux_losses[0] is None else torch.stack(aux_losses).mean(),
    )
    tokens = sum(sum(spans[row]) for row in rows)
    return outputs, ForwardWork(len(rows), positions, tokens)
