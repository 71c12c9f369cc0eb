"""Supervised warm start of the tiny policy on imperfect demonstrations.

    python -m egpo_trl.demo.warm_start --output_dir policy

rebuilds the checkpoint that ships in this package, on CPU, from seeds alone.
"""

import argparse
import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from .demonstrations import demonstrate
from .tokenizer import build_tokenizer
from .world import make_queries

HIDDEN_SIZE = 128
NUM_LAYERS = 4
TRAIN_QUERIES = 20_000


def build_model(tokenizer: PreTrainedTokenizerBase) -> Qwen3ForCausalLM:
    """A Qwen3 policy of about a million parameters, randomly initialised."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN_SIZE,
        intermediate_size=3 * HIDDEN_SIZE,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=HIDDEN_SIZE // 4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, max_new_tokens=128
    )
    return model


def _encode(tokenizer: PreTrainedTokenizerBase, rng: random.Random) -> list[tuple[list[int], int]]:
    """Token ids of the training conversations, each with the length of its prompt."""
    encoded = []
    for query in make_queries(TRAIN_QUERIES, seed=1, split="train"):
        row = query.row("")
        prompt = tokenizer.apply_chat_template(
            row["prompt"], tools=json.loads(row["tools"]), add_generation_prompt=True, tokenize=False
        )
        prompt_ids = tokenizer.encode(prompt)
        answer_ids = tokenizer.encode(demonstrate(rng, query) + str(tokenizer.eos_token))
        encoded.append((prompt_ids + answer_ids, len(prompt_ids)))
    return encoded


def _batch(examples: list[tuple[list[int], int]], pad_id: int) -> dict[str, torch.Tensor]:
    width = max(len(ids) for ids, _ in examples)
    input_ids = torch.full((len(examples), width), pad_id)
    labels = torch.full((len(examples), width), -100)
    mask = torch.zeros((len(examples), width), dtype=torch.long)
    for row, (ids, prompt_length) in enumerate(examples):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        labels[row, prompt_length : len(ids)] = torch.tensor(ids[prompt_length:])
        mask[row, : len(ids)] = 1
    return {"input_ids": input_ids, "attention_mask": mask, "labels": labels}


def _copy_batch(rng: random.Random, ids: list[int], batch_size: int = 64) -> dict[str, torch.Tensor]:
    """Random tokens, written twice: learning to predict the second half teaches the attention to copy values."""
    length = rng.randint(8, 24)
    rows = []
    for _ in range(batch_size):
        half = [rng.choice(ids) for _ in range(length)]
        rows.append(half + half)
    input_ids = torch.tensor(rows)
    labels = input_ids.clone()
    labels[:, :length] = -100
    return {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "labels": labels}


def warm_start(
    steps: int,
    copy_steps: int = 500,
    batch_size: int = 48,
    learning_rate: float = 2e-3,
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerBase]:
    """
    Train the tiny policy to copy, then to imitate the demonstrations.

    Args:
        steps (`int`):
            Optimizer steps on demonstrations.
        copy_steps (`int`, *optional*, defaults to `500`):
            Optimizer steps on repeated random tokens before them. Without these the policy needs several times as many
            demonstrations before it copies a value from the query into a call.
        batch_size (`int`, *optional*, defaults to `48`):
            Conversations a step.
        learning_rate (`float`, *optional*, defaults to `2e-3`):
            Learning rate of the copying, and peak of the cosine schedule of the imitation.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the weights, the demonstrations and the order of the batches.
        report (`Callable`, *optional*):
            Called with a line of progress now and then.

    Returns:
        `tuple`:
            The policy and its tokenizer.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    ids = [token_id for token_id in range(len(tokenizer)) if token_id not in tokenizer.all_special_ids]
    examples: list[tuple[list[int], int]] = []
    total = copy_steps + steps
    model.train()
    for step in range(total):
        scale = min(1.0, (step + 1) / 50)
        if step > copy_steps:
            scale *= 0.5 * (1 + math.cos(math.pi * step / total))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * scale
        if step < copy_steps:
            batch = _copy_batch(rng, ids)
        else:
            examples = examples or _encode(tokenizer, rng)
            batch = _batch(rng.sample(examples, batch_size), tokenizer.pad_token_id)
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == total - 1:
            report(f"step {step}/{total}  loss {loss.item():.3f}")
    return model.eval(), tokenizer


def main(argv: list[str] | None = None) -> None:
    """Build the policy and save it, with its weights in bfloat16."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1400, help="optimizer steps on demonstrations")
    parser.add_argument("--copy_steps", type=int, default=500, help="optimizer steps on repeated tokens before them")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    model, tokenizer = warm_start(
        arguments.steps,
        arguments.copy_steps,
        seed=arguments.seed,
        report=lambda line: print(line, flush=True),
    )
    model.to(torch.bfloat16).save_pretrained(arguments.output_dir)
    tokenizer.save_pretrained(arguments.output_dir)


if __name__ == "__main__":
    main()
