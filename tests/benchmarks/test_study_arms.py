"""The arms of the study: each changes the advantages as its line in docs/study_plan.md says, and no other thing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.study.arms import TRAINERS
from benchmarks.study.design import ARMS, SUPERVISED
from egpo_trl.advantages import entropy_bonus, shape_advantages
from tests.tiny import config


class Options:
    egpo_lambda, egpo_alpha, entropy_level, entropy_span, seed = 0.4, 2.0, "token", "think", 0


def shaped(arm: str, advantages, entropies, mask, **options):
    trainer = object.__new__(TRAINERS[arm][0])
    trainer.args = type("Changed", (Options,), options)
    got = trainer.shape_advantages(advantages, entropies, mask, torch.zeros_like(entropies))
    return got if got.dim() == 2 else got.unsqueeze(1).expand_as(entropies), trainer


@st.composite
def batches(draw):
    rows, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    advantages = torch.randn(rows, generator=generator)
    advantages[torch.rand(rows, generator=generator) < 0.3] = 0.0
    mask = torch.rand(rows, width, generator=generator) < 0.6
    return advantages, 3 * torch.rand(rows, width, generator=generator), mask


def plain(advantages, entropies):
    return advantages.unsqueeze(1).expand_as(entropies)


@given(batches())
def test_grpo_and_entropy_loss_keep_the_advantages(batch):
    for arm in ("grpo", "entropy_loss"):
        got, _ = shaped(arm, *batch, egpo_lambda=0.0)
        assert torch.equal(got, plain(*batch[:2]))


@pytest.mark.parametrize("level", ["token", "sequence"])
@given(batch=batches())
def test_egpo_is_the_package_s_own(level, batch):
    got, _ = shaped(f"egpo_{level}", *batch, entropy_level=level)
    expected, _ = shape_advantages(*batch, 0.4, 2.0, level)
    assert torch.equal(got, expected if level == "token" else plain(expected, batch[1]))


@given(batches())
def test_unclipped_is_a_plus_lambda_h_at_the_thought(batch):
    advantages, entropies, mask = batch
    got, _ = shaped("unclipped", *batch)
    before = plain(advantages, entropies)
    torch.testing.assert_close(got[mask], (before + 0.4 * entropies)[mask])
    assert torch.equal(got[~mask], before[~mask])


@given(batches())
def test_positive_only_leaves_the_others_alone(batch):
    got, _ = shaped("positive_only", *batch)
    before, egpo = plain(*batch[:2]), shaped("egpo_token", *batch)[0]
    assert torch.equal(got[before <= 0], before[before <= 0])
    torch.testing.assert_close(got[before > 0], egpo[before > 0])


@given(batches())
def test_placebo_keeps_the_multiset_of_bonuses_and_the_other_tokens(batch):
    advantages, entropies, mask = batch
    got, _ = shaped("placebo", *batch)
    before = plain(advantages, entropies)
    live = mask & (before != 0)
    assert torch.equal(got[~live], before[~live])
    bonuses = entropy_bonus(before, entropies, 0.4, 2.0)[live]
    torch.testing.assert_close((got - before)[live].sort().values, bonuses.sort().values, atol=1e-6, rtol=0)


def test_placebo_shuffles_anew_at_every_step_and_alike_for_a_seed():
    generator = torch.Generator().manual_seed(0)
    batch = torch.ones(4), torch.rand(4, 8, generator=generator), torch.ones(4, 8, dtype=torch.bool)
    first, trainer = shaped("placebo", *batch)
    second = trainer.shape_advantages(*batch, torch.zeros(4, 8))
    assert not torch.equal(first, second)
    assert torch.equal(first, shaped("placebo", *batch)[0])


@given(batches())
def test_the_recorded_bonus_is_the_one_that_was_added(batch):
    advantages, entropies, mask = batch
    for arm in ("egpo_token", "unclipped", "placebo"):
        got, trainer = shaped(arm, *batch)
        before = plain(advantages, entropies)
        live = mask & (before != 0)
        bonus, size, clipped, count = trainer.bonus_sums.tolist()
        assert bonus == pytest.approx((got - before)[live].sum().item(), abs=1e-4)
        assert size == pytest.approx(before[live].abs().sum().item(), abs=1e-4)
        assert clipped == (0.4 * entropies > before.abs() / 2)[live].sum()
        assert count == live.sum()


def test_every_arm_has_a_trainer_and_fields_of_the_configuration(tmp_path):
    assert set(TRAINERS) | {SUPERVISED} == set(ARMS)
    for arm, (_, fields) in TRAINERS.items():
        for value in ARMS[arm].values:
            args = config(tmp_path, **fields(value))
            assert args.entropy_coef == (value if arm == "entropy_loss" else 0.0)
            assert args.egpo_lambda == (0.0 if arm in ("grpo", "entropy_loss") else value)
            assert args.drop_zero_advantages == ("never" if arm == "unclipped" else "auto")
