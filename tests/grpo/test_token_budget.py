"""Several passes over a micro-batch: bounded tokens, the same gradient, as many passes on every process."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from egpo_trl.grpo.config import LeanGRPOConfig
from egpo_trl.grpo.token_budget import RowSizes, deal, passes_needed, tokens_of_pass
from tests.grpo.test_lean_trainer import mixed_reward
from tests.grpo.test_shared_prefix import ALWAYS_PACK, build, groups_of_rows
from tests.tiny import config, prompts_only, tiny_model

SIZES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12)


@given(SIZES, st.booleans(), st.integers(1, 80))
def test_passes_fit_and_are_the_fewest(sizes, share, budget):
    prompts, completions = zip(*((5, c) if share else (p, c) for p, c in sizes), strict=True)
    known = RowSizes(prompts, completions, [0] * len(sizes) if share else None)
    rows = list(range(len(sizes)))
    count = passes_needed(rows, known, budget)
    parts = deal(rows, [], count)
    assert sorted(row for part in parts for row in part) == rows
    assert count == len(rows) or all(tokens_of_pass(part, known) <= budget for part in parts)
    fewer = [deal(rows, [], fewer) for fewer in range(1, count)]
    assert all(any(tokens_of_pass(part, known) > budget for part in parts) for parts in fewer)


@given(st.integers(1, 16).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_no_pass_is_empty(drawn):
    """Another process may need more passes than this one has live rows."""
    rows, live, count = drawn
    parts = deal(list(range(live)), list(range(live, rows)), count)
    assert len(parts) == count
    assert all(parts)
    assert sorted(row for part in parts for row in part) == list(range(rows))


def test_a_scoring_pass_keeps_to_the_budget(tmp_path, tiny_tokenizer):
    """Rows of lengths for which the number of passes is not a divisor of the number of rows."""
    trainer = build(tmp_path, tiny_model(tiny_tokenizer), tiny_tokenizer, "never", max_tokens_per_pass=79)
    lengths = [40, 38, 36, 34, 32, 30, 28, 26]
    mask = torch.stack([(torch.arange(60) >= 60 - length).long() for length in lengths])
    sizes = RowSizes([length - 20 for length in lengths], [20] * len(lengths))
    count = passes_needed(list(range(8)), sizes, 79)
    shapes: list[tuple[int, ...]] = []
    forward = trainer.model.forward
    trainer.model.forward = lambda *a, **k: (shapes.append(tuple(k["input_ids"].shape)), forward(*a, **k))[1]
    with torch.no_grad():
        trainer._get_per_token_logps_and_entropies(trainer.model, mask * 9, mask, 20)
    assert len(shapes) == count
    assert 8 % count
    assert all(rows * width <= 79 for rows, width in shapes)


def test_rows_that_are_not_computed_cost_nothing():
    assert passes_needed([], RowSizes([], []), 10) == 1
    assert deal([3, 1], [0, 2, 4], 2) == [[3, 0], [1, 2, 4]]


@pytest.mark.parametrize("share", ["auto", "never"])
@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo", "cispo", "sapo", "vespo", "luspo"])
def test_the_gradient_does_not_depend_on_the_budget(tmp_path, tiny_tokenizer, loss_type, share):
    model = tiny_model(tiny_tokenizer)
    batch = groups_of_rows(tiny_tokenizer.pad_token_id, vocabulary=200)
    found = []
    for budget in (None, 90, 1):
        trainer = build(
            tmp_path, copy.deepcopy(model), tiny_tokenizer, share, max_tokens_per_pass=budget, loss_type=loss_type
        )
        trainer._generate_and_score_completions = lambda inputs: dict(batch)
        trainer.args.steps_per_generation = 1
        passes: list[int] = []
        forward = trainer.model.forward
        trainer.model.forward = lambda *a, forward=forward, passes=passes, **k: (passes.append(1), forward(*a, **k))[1]
        loss = trainer.training_step(trainer.model, [], None)
        gradient = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
        found.append((loss.item(), gradient, len(passes)))
    (loss, gradient, one), *split = found
    for other, other_gradient, passes in split:
        assert passes > one
        assert other == pytest.approx(loss, rel=1e-4, abs=1e-6)
        assert (other_gradient - gradient).norm() <= 1e-4 * gradient.norm()


def test_a_run_with_old_log_probabilities(tmp_path, tiny_tokenizer):
    """Through the trainer: a budget of a few rows ends where one pass ends, scoring passes included."""
    from egpo_trl import EGPOConfig, EGPOTrainer

    logs = []
    for budget in (None, 100):
        args = config(
            tmp_path / str(budget), EGPOConfig, max_tokens_per_pass=budget, num_iterations=2, optim="sgd", learning_rate=0.1,
            per_device_train_batch_size=16,
        )  # fmt: skip
        model = tiny_model(tiny_tokenizer)
        trainer = EGPOTrainer(model, mixed_reward, args, prompts_only(8), processing_class=tiny_tokenizer)
        trainer._shared_prefixes._cost = ALWAYS_PACK
        trainer.train()
        logs.append([log for log in trainer.state.log_history if "reward" in log])
    for one, split in zip(*logs, strict=True):
        for name in ("loss", "grad_norm", "entropy", "egpo/no_cot_ratio", "update/dropped_rows_ratio"):
            assert split[name] == pytest.approx(one[name], rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "many"])
def test_values_that_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="max_tokens_per_pass must be a whole number"):
        config(tmp_path, LeanGRPOConfig, max_tokens_per_pass=wrong)


@pytest.mark.parametrize("options", [{"loss_type": "bnpo"}, {"entropy_coef": 0.1}, {"top_entropy_quantile": 0.5}])
def test_losses_that_read_the_whole_micro_batch_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="max_tokens_per_pass splits micro-batches"):
        config(tmp_path, LeanGRPOConfig, max_tokens_per_pass=100, **options)
