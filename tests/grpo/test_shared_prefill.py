"""One prefill for a group: the tokens of a plain `generate`."""

import copy

import pytest
import torch
import transformers

from egpo_trl.grpo.shared_prefill import shared_prefill
from tests.grpo.test_shared_prefix import MODELS, model_of
from tests.tiny import config, prompts_only, tiny_model

ROWS = [[5, 6, 7, 8, 9]] * 4 + [[11, 12]] * 3 + [[5, 6, 7]]


def inputs(pad: int = 0) -> dict[str, torch.Tensor]:
    width = max(len(row) for row in ROWS)
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in ROWS])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ROWS])
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("sample", [False, True])
def test_the_tokens_are_those_of_a_plain_call(name, sample):
    model = model_of(name, "eager").float().eval()
    options = transformers.GenerationConfig(max_new_tokens=12, do_sample=sample, pad_token_id=0, eos_token_id=1)
    found = []
    for shared in (False, True):
        torch.manual_seed(3)
        if shared:
            with shared_prefill(model):
                found.append(model.generate(**inputs(), generation_config=options))
        else:
            found.append(model.generate(**inputs(), generation_config=options))
    assert torch.equal(*found)
    assert "generate" not in vars(model)


@pytest.mark.parametrize(
    "options", [{"use_cache": False}, {"cache_implementation": "static"}, {"num_beams": 2}, {"num_return_sequences": 2, "do_sample": True}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("place", ["call", "configuration", "model"])
def test_other_caches_are_left_to_transformers(options, place):
    """Whoever says it, the call, its configuration or the model: the prompt is not put into the cache first."""
    model = model_of("qwen3", "sdpa").float().eval()
    common = {"max_new_tokens": 4, "pad_token_id": 0, "eos_token_id": 1}
    words = {**inputs(), **common}
    if place == "call":
        words |= options
    elif place == "configuration":
        words = {**inputs(), "generation_config": transformers.GenerationConfig(**common, **options)}
    else:
        model.generation_config.update(**options)
    torch.manual_seed(3)
    expected = model.generate(**words)
    torch.manual_seed(3)
    with shared_prefill(model):
        assert torch.equal(model.generate(**words), expected)


def test_the_prompt_of_a_group_is_computed_once():
    model = model_of("qwen3", "sdpa").float().eval()
    shapes: list[tuple[int, int]] = []
    forward = model.model.forward
    model.model.forward = lambda *a, **k: (shapes.append(tuple(k["input_ids"].shape)), forward(*a, **k))[1]
    with shared_prefill(model):
        model.generate(**inputs(), max_new_tokens=3, do_sample=False, pad_token_id=0, eos_token_id=1)
    assert shapes[0] == (3, 4)  # three distinct prompts, all but their last token
    assert all(shape == (len(ROWS), 1) for shape in shapes[1:])


def test_rollouts_of_the_trainer_are_the_same(tmp_path, tiny_tokenizer):
    """Through the trainer, greedy: the completions of a run without sharing."""
    from egpo_trl import EGPOConfig, EGPOTrainer

    found = []
    model = tiny_model(tiny_tokenizer)
    for share in ("auto", "never"):
        seen: list[list[int]] = []

        def reward(completion_ids, seen=seen, **_):
            seen.extend(completion_ids)
            return [float(len(ids) % 2) for ids in completion_ids]

        args = config(
            tmp_path / share, EGPOConfig, share_prefixes=share, max_steps=1, generation_kwargs={"do_sample": False}
        )
        trainer = EGPOTrainer(copy.deepcopy(model), reward, args, prompts_only(8), processing_class=tiny_tokenizer)
        trainer.train()
        found.append(seen)
    assert found[0] == found[1]
