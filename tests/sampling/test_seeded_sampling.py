"""Each row samples from a seed of its own: whatever the batch, from the right distribution."""

import pytest
import torch

from egpo_trl.demo.world import make_rows
from egpo_trl.sampling.generate import SeededSampling, plan_batches, render_prompt, stream_completions
from tests.tiny import tiny_model


def draw(logits, count, **options):
    """The tokens that `count` seeds choose."""
    processor = SeededSampling(range(count), 1, **{"temperature": 1.0, **options})
    chosen = processor(torch.zeros(count, 1, dtype=torch.long), torch.tensor(logits).repeat(count, 1))
    assert ((chosen == 0).sum(dim=1) == 1).all()
    assert (chosen.isinf().sum(dim=1) == len(logits) - 1).all()
    return torch.bincount(chosen.argmax(dim=1), minlength=len(logits)) / count


def test_the_distribution_is_the_softmax():
    logits = [2.0, 0.0, -1.0, 1.0, float("-inf"), 0.5]
    for temperature in (1.0, 0.5, 3.0):
        wanted = torch.tensor(logits).div(temperature).softmax(dim=0)
        found = draw(logits, 20_000, temperature=temperature)
        error = (wanted * (1 - wanted) / 20_000).sqrt()
        assert ((found - wanted).abs() <= 4 * error).all()
    assert draw(logits, 5000, top_k=2)[[1, 2, 4, 5]].sum() == 0
    nucleus = draw(logits, 5000, top_p=0.6)
    assert nucleus.argmax() == 0
    assert nucleus[[1, 2, 4, 5]].sum() == 0


@pytest.fixture(scope="module")
def policy(tiny_tokenizer):
    model = tiny_model(tiny_tokenizer).double().eval()  # so that padding does not move a boundary by rounding
    rows = make_rows(7)
    return model, tiny_tokenizer, [render_prompt(tiny_tokenizer, row) for row in rows]


def sample(policy, order, **options):
    model, tokenizer, prompts = policy
    stream = stream_completions(
        model,
        tokenizer,
        [prompts[i] for i in order],
        [100 + i for i in order],
        **{"max_new_tokens": 8, "temperature": 1.0, **options},
    )
    return {order[index]: ids for index, ids in stream}


def test_a_completion_does_not_depend_on_its_batch(policy):
    whole = sample(policy, range(7), batch_size=7)
    assert len({tuple(ids) for ids in whole.values()}) > 1
    assert sample(policy, [6, 2, 0, 5, 1, 4, 3], batch_size=2) == whole
    assert {i: sample(policy, [i])[i] for i in range(7)} == whole
    assert sample(policy, [4, 1]) == {i: whole[i] for i in (4, 1)}  # what is left after a kill
    assert sample(policy, range(7), max_batch_tokens=1) == whole
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert sample(policy, range(7)) == whole
    assert torch.equal(torch.get_rng_state(), state)


def test_other_seeds_give_other_samples(policy):
    model, tokenizer, prompts = policy
    stream = stream_completions(model, tokenizer, [prompts[0]] * 8, range(8), max_new_tokens=8, temperature=1.0)
    assert len({tuple(ids) for _, ids in stream}) > 4


def test_a_batch_that_does_not_fit_is_halved(policy, monkeypatch):
    model, _, _ = policy
    whole = sample(policy, range(7))
    generate, sizes = model.generate, []

    def small(input_ids, **options):
        sizes.append(len(input_ids))
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(input_ids=input_ids, **options)

    monkeypatch.setattr(model, "generate", small)
    assert sample(policy, range(7), batch_size=7) == whole
    assert max(sizes) == 7
    monkeypatch.setattr(model, "generate", lambda **_: (_ for _ in ()).throw(torch.OutOfMemoryError("no")))
    with pytest.raises(torch.OutOfMemoryError):
        sample(policy, [0])


def test_the_plan_of_the_batches():
    lengths = [5, 90, 10, 98, 7, 98, 20]
    plan = list(plan_batches(lengths, 8, 3, context_length=100))
    assert sorted(i for batch, _ in plan for i in batch) == list(range(7))
    assert plan[0] == ([3, 5], 2)  # only these have no more room than 2
    assert plan[1] == ([1, 6, 2], 8)
    for batch, limit in plan:
        assert {min(8, 100 - lengths[i]) for i in batch} == {limit}
    bounded = list(plan_batches(lengths, 8, 3, max_batch_tokens=60))
    assert all(len(batch) == 1 or len(batch) * (max(lengths[i] for i in batch) + 8) <= 60 for batch, _ in bounded)
