"""Completions of a model for rows, with the prompts that training renders."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..prompts import takes_objects, template_messages


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
    if isinstance(row["prompt"], str):
        return list(tokenizer(row["prompt"])["input_ids"])
    tools = json.loads(row["tools"]) if render_tools and row.get("tools") else None
    template_kwargs = dict(chat_template_kwargs or {})
    has_calls = any(message.get("tool_calls") for message in row["prompt"])
    decode = has_calls and takes_objects(
        lambda messages: tokenizer.apply_chat_template(messages, tokenize=False, **template_kwargs)
    )
    rendered = tokenizer.apply_chat_template(
        template_messages(row["prompt"], decode),
        tools=tools or None,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        **template_kwargs,
    )
    return list(rendered["input_ids"])


def stop_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids that end a completion: the tokenizer's end-of-sequence token and those of the generation config."""
    eos = model.generation_config.eos_token_id
    return sorted({tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])} - {None})


@torch.no_grad()
def sample_completions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    batch_size: int = 32,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> list[list[int]]:
    """
    Sample one completion for each prompt, in left-padded batches of prompts of similar length.

    The random state of the process is as before afterwards, so that an evaluation does not change a training run.

    Args:
        model ([`~transformers.PreTrainedModel`]):
            Model to sample.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Its tokenizer.
        prompts (`Sequence[Sequence[int]]`):
            Token ids of the prompts.
        max_new_tokens (`int`):
            Longest completion, in tokens.
        temperature (`float`, *optional*, defaults to `0.0`):
            Sampling temperature; 0 is greedy.
        batch_size (`int`, *optional*, defaults to `32`):
            Prompts a batch.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the sampling.
        progress (`Callable[[int], None]`, *optional*):
            Called with the number of prompts of each finished batch.

    Returns:
        `list[list[int]]`:
            Token ids of the completions in the order of the prompts, each up to and with its end token.
    """
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ends = stop_token_ids(model, tokenizer)
    sampling = (
        {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        if temperature > 0
        else {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
    )
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    completions: list[list[int]] = [[] for _ in prompts]
    was_training = model.training
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        model.eval()
        for begin in range(0, len(order), batch_size):
            batch = order[begin : begin + batch_size]
            width = max(len(prompts[index]) for index in batch)
            ids = torch.tensor([[pad_id] * (width - len(prompts[i])) + list(prompts[i]) for i in batch])
            mask = torch.tensor([[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in batch])
            output = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=max_new_tokens,
                pad_token_id=pad_id,
                eos_token_id=ends,
                **sampling,
            )
            for index, generated in zip(batch, output[:, width:].tolist(), strict=True):
                stop = next((i + 1 for i, token_id in enumerate(generated) if token_id in ends), len(generated))
                completions[index] = generated[:stop]
            if progress is not None:
                progress(len(batch))
        model.train(was_training)
    return completions
