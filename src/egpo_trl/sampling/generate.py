"""Generates completions with transformers, from the prompts that training renders."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from .rendering import PromptRenderer
from .sampler import PromptFormat, request_seed


def render_prompt(
    tokenizer: PreTrainedTokenizerBase,
    row: Mapping[str, Any],
    *,
    render_tools: bool = True,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> list[int]:
    """
    Token ids of a row's prompt, as [`EGPOTrainer`] renders it.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer of the model.
        row (`Mapping[str, Any]`):
            Canonical row.
        render_tools (`bool`, *optional*, defaults to `True`):
            Whether the row's tools are handed to the chat template.
        chat_template_kwargs (`Mapping`, *optional*):
            Further arguments of the chat template.

    Returns:
        `list[int]`:
            Token ids.
    """
    prompts = PromptFormat(chat_template_kwargs=chat_template_kwargs or {}, tokenizer=tokenizer)
    return PromptRenderer(prompts, render_tools)(row)


def stop_token_ids(tokenizer: PreTrainedTokenizerBase, config: GenerationConfig | None) -> list[int]:
    """Token ids that end a completion: the tokenizer's end-of-sequence token and those of the generation config."""
    eos = None if config is None else config.eos_token_id
    return sorted({tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])} - {None})


@torch.no_grad()
def _generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    chosen: LogitsProcessorList,
) -> list[list[int]]:
    """Completions of one left-padded batch, each up to and with its end token."""
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ends = stop_token_ids(tokenizer, model.generation_config)
    width = max(map(len, prompts))
    ids = torch.tensor([[pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    output = model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=max_new_tokens,
        pad_token_id=pad_id,
        eos_token_id=ends,
        logits_processor=chosen,
        do_sample=False,  # of what `chosen` leaves, whatever the generation config says
        temperature=None,
        top_k=None,
        top_p=None,
        repetition_penalty=1.0,
    )
    completions = []
    for generated in output[:, width:].tolist():
        stop = next((i + 1 for i, token_id in enumerate(generated) if token_id in ends), len(generated))
        completions.append(generated[:stop])
    return completions


class SeededSampling(LogitsProcessor):
    """Leaves only the token that each row's own seed draws, the same on every device and in every batch."""

    def __init__(
        self, seeds: Sequence[int], max_new_tokens: int, temperature: float, top_k: int = 0, top_p: float = 1.0
    ) -> None:
        draws = [
            torch.rand(max_new_tokens, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            for seed in seeds
        ]
        self._uniforms = torch.stack(draws, dim=1)  # (positions, rows)
        self._temperature = temperature
        self._warpers = LogitsProcessorList()
        if top_k:
            self._warpers.append(TopKLogitsWarper(top_k))
        if top_p < 1:
            self._warpers.append(TopPLogitsWarper(top_p))
        self._position = 0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores in which only the chosen token of each row is possible."""
        logits = self._warpers(input_ids, scores.float() / self._temperature)
        precise = logits if scores.device.type == "mps" else logits.double()
        cumulative = precise.softmax(dim=-1).cumsum(dim=-1)
        uniform = self._uniforms[self._position].to(cumulative)
        self._position += 1
        # `right` skips tokens without probability; scaling makes up for a sum that rounding left near 1.
        token = torch.searchsorted(cumulative, (uniform * cumulative[:, -1]).unsqueeze(1), right=True)
        chosen = torch.full_like(scores, -torch.inf)
        return chosen.scatter_(1, token.clamp_(max=scores.shape[1] - 1), 0.0)  # type: ignore[return-value]


def plan_batches(
    lengths: Sequence[int],
    max_new_tokens: int,
    batch_size: int,
    max_batch_tokens: int | None = None,
    context_length: int | None = None,
) -> Iterator[tuple[list[int], int]]:
    """Batches of prompts of similar length and room, the longest first, each with the length of its completions."""

    def room(length: int) -> int:
        return max_new_tokens if context_length is None else min(max_new_tokens, context_length - length)

    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch:
            width = lengths[batch[0]] + room(lengths[batch[0]])
            too_many = max_batch_tokens is not None and (len(batch) + 1) * width > max_batch_tokens
            if len(batch) == batch_size or too_many or room(lengths[index]) != room(lengths[batch[0]]):
                yield batch, room(lengths[batch[0]])
                batch = []
        batch.append(index)
    if batch:
        yield batch, room(lengths[batch[0]])


def stream_completions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    batch_size: int = 32,
    max_batch_tokens: int | None = None,
    context_length: int | None = None,
) -> Iterator[tuple[int, list[int]]]:
    """Sample a completion for each prompt from a seed of its own; a batch that does not fit the memory is halved."""
    lengths = [len(prompt) for prompt in prompts]
    for planned, limit in plan_batches(lengths, max_new_tokens, batch_size, max_batch_tokens, context_length):
        waiting = [planned]
        while waiting:
            batch = waiting.pop()
            chosen = LogitsProcessorList()
            if temperature > 0:
                chosen.append(SeededSampling([seeds[index] for index in batch], limit, temperature, top_k, top_p))
            try:
                completions = _generate(model, tokenizer, [prompts[index] for index in batch], limit, chosen)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                half = len(batch) // 2
                waiting += [batch[half:], batch[:half]]
                continue
            yield from zip(batch, completions, strict=True)


def sample_completions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    batch_size: int = 32,
    seed: int = 0,
) -> list[list[int]]:
    """Sample one completion for each prompt, in order; see [`stream_completions`]."""
    seeds = [request_seed(seed, str(index), 0, 0) for index in range(len(prompts))]
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature, "batch_size": batch_size}
    was_training = model.training
    model.eval()
    found = dict(stream_completions(model, tokenizer, prompts, seeds, **options))
    model.train(was_training)
    return [found[index] for index in range(len(prompts))]
