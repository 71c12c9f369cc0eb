"""Supervised warm start of the tiny policies on imperfect demonstrations.

    python scripts/demo_policy/warm_start.py --output_dir policy
    python scripts/demo_policy/warm_start.py --output_dir policy --world multi-turn

rebuild the checkpoints that ship in this package, on CPU, from seeds alone.
"""

import argparse
import math
import random
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from demonstrations import demonstrate
from multi_turn_demonstrations import Turn
from multi_turn_demonstrations import demonstrate as demonstrate_rollout
from multi_turn_tokenizer import build_multi_turn_tokenizer
from tokenizer import build_tokenizer
from transformers import GenerationConfig, PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from egpo_trl.demo.multi_turn_world import Scenario, make_scenarios
from egpo_trl.demo.world import Query, make_queries
from egpo_trl.environments.trajectories import step_messages
from egpo_trl.evaluation.rollouts import tool_suffix_ids
from egpo_trl.sampling.generate import render_prompt

HIDDEN_SIZE = 128
NUM_LAYERS = 4
TRAIN_QUERIES = 20_000
STEPWISE_SHARE = 0.3  # of the multi-turn conversations


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


class Example(NamedTuple):
    """A training conversation as token ids, and which of them the assistant wrote."""

    ids: list[int]
    written: list[bool]

    def added(self, ids: list[int], written: bool) -> "Example":
        """The example with more tokens behind it."""
        return Example(self.ids + ids, self.written + [written] * len(ids))


def encode_queries(
    tokenizer: PreTrainedTokenizerBase,
    rng: random.Random,
    queries: Iterable[Query],
    write: Callable[[random.Random, Query], str] = demonstrate,
) -> list[Example]:
    """Training conversations of the single-turn world."""
    examples = []
    for query in queries:
        prompt_ids = render_prompt(tokenizer, query.row(""))
        answer_ids = tokenizer.encode(write(rng, query) + str(tokenizer.eos_token))
        examples.append(Example([], []).added(prompt_ids, False).added(answer_ids, True))
    return examples


def encode_scenarios(
    tokenizer: PreTrainedTokenizerBase,
    rng: random.Random,
    scenarios: Iterable[Scenario],
    write: Callable[[random.Random, Scenario], list[Turn]] = demonstrate_rollout,
    stepwise_share: float = STEPWISE_SHARE,
) -> list[Example]:
    """Training conversations of the multi-turn world: most as TRL's tool loop gives them, some step by step."""
    suffix_ids = lru_cache(maxsize=None)(
        lambda name, result: tool_suffix_ids(tokenizer, [{"role": "tool", "name": name, "content": result}])
    )
    examples = []
    for scenario in scenarios:
        row, turns = scenario.row(""), write(rng, scenario)
        if rng.random() < stepwise_share:  # one step, with the history as prompt and without its thoughts
            at = rng.randrange(len(turns))
            for turn in turns[:at]:
                assert turn.call is not None
                row["prompt"] += step_messages([turn.call], [turn.result])
            turns = [turns[at]._replace(call=None)]
        example = Example([], []).added(render_prompt(tokenizer, row), False)
        for turn in turns:
            example = example.added(tokenizer.encode(turn.text + str(tokenizer.eos_token)), True)
            if turn.call is not None:
                example = example.added(suffix_ids(turn.call.name, turn.result), False)
        examples.append(example)
    return examples


class World(NamedTuple):
    """What a tiny policy is warm-started on, and for how long."""

    build_tokenizer: Callable[[], PreTrainedTokenizerBase]
    encode: Callable[[PreTrainedTokenizerBase, random.Random], list[Example]]
    steps: int  # on demonstrations
    batch_size: int  # conversations a step
    num_lengths: int  # classes of length that a batch is drawn from: one, or conversations of similar length only


WORLDS = {
    "single-turn": World(
        build_tokenizer,
        lambda tokenizer, rng: encode_queries(tokenizer, rng, make_queries(TRAIN_QUERIES, seed=1, split="train")),
        steps=1400, batch_size=48, num_lengths=1,
    ),
    "multi-turn": World(
        build_multi_turn_tokenizer,
        lambda tokenizer, rng: encode_scenarios(tokenizer, rng, make_scenarios(TRAIN_QUERIES, seed=1, split="train")),
        steps=1200, batch_size=32, num_lengths=4,
    ),
}  # fmt: skip


def draw(rng: random.Random, examples: list[Example], size: int, num_lengths: int) -> list[Example]:
    """Some examples of similar length."""
    drawn = rng.sample(examples, size * num_lengths)
    if num_lengths == 1:
        return drawn
    begin = rng.randrange(num_lengths) * size
    return sorted(drawn, key=lambda example: len(example.ids))[begin : begin + size]


def make_batch(examples: list[Example], pad_id: int) -> dict[str, torch.Tensor]:
    width = max(len(example.ids) for example in examples)
    input_ids = torch.full((len(examples), width), pad_id)
    written = torch.zeros((len(examples), width), dtype=torch.bool)
    mask = torch.zeros((len(examples), width), dtype=torch.long)
    for row, example in enumerate(examples):
        length = len(example.ids)
        input_ids[row, :length] = torch.tensor(example.ids)
        written[row, :length] = torch.tensor(example.written)
        mask[row, :length] = 1
    return {"input_ids": input_ids, "attention_mask": mask, "labels": input_ids.masked_fill(~written, -100)}


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


def fit(
    model: Qwen3ForCausalLM, batches: Iterable[tuple[dict[str, torch.Tensor], float]]
) -> Iterator[tuple[int, float]]:
    """Train on batches, each with its learning rate, and yield step and loss."""
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    model.train()
    for step, (batch, learning_rate) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        yield step, loss.item()
    model.eval()


def warm_start(
    source: World,
    copy_steps: int = 500,
    learning_rate: float = 2e-3,
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerBase]:
    """
    Train the tiny policy to copy repeated random tokens, then to imitate the demonstrations.

    Without the copying it needs several times as many demonstrations before it copies a value from the query into a call.
    The learning rate is that of the copying, and the peak of a cosine for the imitation.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tokenizer = source.build_tokenizer()
    model = build_model(tokenizer)
    ids = [token_id for token_id in range(len(tokenizer)) if token_id not in tokenizer.all_special_ids]
    total = copy_steps + source.steps

    def batches() -> Iterator[tuple[dict[str, torch.Tensor], float]]:
        examples: list[Example] = []
        for step in range(total):
            scale = min(1.0, (step + 1) / 50)
            if step > copy_steps:
                scale *= 0.5 * (1 + math.cos(math.pi * step / total))
            if step < copy_steps:
                yield _copy_batch(rng, ids), learning_rate * scale
                continue
            examples = examples or source.encode(tokenizer, rng)
            drawn = draw(rng, examples, source.batch_size, source.num_lengths)
            yield make_batch(drawn, tokenizer.pad_token_id), learning_rate * scale

    for step, loss in fit(model, batches()):
        if step % 50 == 0 or step == total - 1:
            report(f"step {step}/{total}  loss {loss:.3f}")
    return model.eval(), tokenizer


def main(argv: list[str] | None = None) -> None:
    """Build the policy and save it, with its weights in bfloat16."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="optimizer steps on demonstrations; default: those of the world")
    parser.add_argument("--copy_steps", type=int, default=500, help="optimizer steps on repeated tokens before them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--world", default="single-turn", choices=WORLDS, help="world to imitate")
    arguments = parser.parse_args(argv)
    source = WORLDS[arguments.world]
    source = source if arguments.steps is None else source._replace(steps=arguments.steps)
    model, tokenizer = warm_start(
        source, arguments.copy_steps, seed=arguments.seed, report=lambda line: print(line, flush=True)
    )
    model.to(torch.bfloat16).save_pretrained(arguments.output_dir)
    tokenizer.save_pretrained(arguments.output_dir)


if __name__ == "__main__":
    main()
