"""torch.compile: the same gradient, and compilations that end however rows and widths change (see docs/speed.md)."""

import argparse

import pytest
import torch

from benchmarks.compile_lengths import run, steps_that_compiled
from benchmarks.update_speed import OURS
from tests.grpo.test_lean_trainer import build, gradient, make_batch

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("bucket", [None, 32])
def test_compilations_end(bucket):
    options = argparse.Namespace(
        backend="eager", steps=14, prompt_length=24, length=32, hidden_size=32, layers=1, vocab_size=1024
    )
    assert max(steps_that_compiled(run(OURS, bucket, options)["graphs"])) <= 7


def test_the_gradient_is_that_without(tmp_path, tiny_tokenizer):
    trainer = build(tmp_path, tiny_tokenizer)
    trainer.model.float()
    model = trainer.model
    for advantages in ((1.5, 0.0, -0.7, 0.9, 0.0, 0.0), (0.0, 0.5, 0.0, 0.0, 0.0, 0.0), (0.0,) * 6):
        batch = make_batch(tiny_tokenizer, advantages)
        _, expected = gradient(trainer, batch)
        trainer.model = torch.compile(model, backend="aot_eager")
        trainer.model.zero_grad()
        trainer._compute_loss(trainer.model, batch).backward()
        trainer.model = model
        found = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        assert (found - expected).norm() <= 1e-5 * expected.norm()
