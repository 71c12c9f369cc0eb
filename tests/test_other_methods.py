"""The methods of docs/other_methods.md, as they are printed there: properties, and a training step with each."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from egpo_trl import EGPOConfig, EGPOTrainer
from egpo_trl.advantages import entropy_bonus
from tests.tiny import config, prompts_only, tiny_model

PAGE = Path(__file__).parents[1] / "docs" / "other_methods.md"
NAMES: dict[str, type] = {}
for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
    if "class " in block:
        exec(compile(block, str(PAGE), "exec"), NAMES)


class Options:
    egpo_lambda, egpo_alpha, entropy_level, entropy_span = 0.4, 2.0, "token", "think"


def shaped(cls: type, advantages, entropies, mask):
    trainer = object.__new__(cls)
    trainer.args = Options()
    return trainer.shape_advantages(advantages, entropies, mask, torch.zeros_like(entropies))


@st.composite
def batches(draw):
    rows, width = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    advantages = torch.randn(rows, generator=generator)
    advantages[torch.rand(rows, generator=generator) < 0.2] = 0.0
    mask = torch.rand(rows, width, generator=generator) < 0.6
    return advantages, 2 * torch.rand(rows, width, generator=generator), mask


@given(batches())
def test_positive_only(batch):
    advantages, entropies, mask = batch
    got = shaped(NAMES["PositiveOnlyTrainer"], *batch)
    plain = advantages.unsqueeze(1).expand_as(entropies)
    assert torch.equal(got[plain <= 0], plain[plain <= 0])
    expected = torch.where(mask, entropy_bonus(plain, entropies, 0.4, 2.0), 0.0)
    torch.testing.assert_close((got - plain)[plain > 0], expected[plain > 0])


@given(batches())
def test_all_tokens(batch):
    """`entropy_span="completion"` hands over the mask of all tokens: the form of arXiv 2506.14758."""
    advantages, entropies, mask = batch
    got = shaped(EGPOTrainer, advantages, entropies, torch.ones_like(mask))
    plain = advantages.unsqueeze(1)
    torch.testing.assert_close(got, plain + torch.minimum(0.4 * entropies, plain.abs() / 2.0))


@given(batches())
def test_scaled(batch):
    advantages, entropies, mask = batch
    got = shaped(NAMES["ScaledTrainer"], *batch)
    plain = advantages.unsqueeze(1).expand_as(entropies)
    assert got.isfinite().all()
    assert torch.equal(got[~mask], plain[~mask])
    assert (got[advantages == 0] == 0).all()
    factors = (got / plain)[mask & (plain != 0) & (entropies > 0)]
    if (advantages != 0).all() and factors.numel():
        torch.testing.assert_close(factors.mean(), torch.tensor(1.0), rtol=0, atol=1e-3)


def long_or_short(completion_ids, **_):
    return [float(sum(ids) % 2) for ids in completion_ids]


@pytest.mark.parametrize("name", ["PositiveOnlyTrainer", "ScaledTrainer"])
def test_a_training_step(tmp_path, tiny_tokenizer, name):
    args = config(tmp_path, EGPOConfig, max_steps=1, entropy_span="completion")
    model = tiny_model(tiny_tokenizer)
    before = {key: value.clone() for key, value in model.named_parameters()}
    trainer = NAMES[name](model, long_or_short, args, prompts_only(8), processing_class=tiny_tokenizer)
    trainer.train()
    assert any(not torch.equal(before[key], value) for key, value in trainer.model.named_parameters())


def test_an_advantage_for_a_row_that_was_left_out_is_refused(tmp_path, tiny_tokenizer):
    class Everybody(EGPOTrainer):
        def shape_advantages(self, advantages, entropies, cot_mask, logps):
            return advantages + 1.0

    def half(completion_ids, **_):
        return [float(at % 2) if at < 4 else 0.0 for at in range(len(completion_ids))]

    for mode in ("auto", "never"):
        args = config(tmp_path / mode, EGPOConfig, max_steps=1, entropy_span="completion", drop_zero_advantages=mode)
        trainer = Everybody(tiny_model(tiny_tokenizer), half, args, prompts_only(8), processing_class=tiny_tokenizer)
        if mode == "auto":
            with pytest.raises(RuntimeError, match="drop_zero_advantages='never'"):
                trainer.train()
        else:
            trainer.train()
