"""References in place of a model."""

import pytest

from egpo_trl.evaluation.gold_sampler import GoldSampler
from egpo_trl.sampling.sampler import Request


def test_answers_with_the_references_in_the_rows():
    sampler = GoldSampler()
    found = list(sampler.sample([Request({"gold": "[f()]"}), Request({"gold": "no"})]))
    assert [(position, one.text, one.finish_reason) for position, one in found] == [
        (0, "[f()]", "stop"),
        (1, "no", "stop"),
    ]
    assert sampler.identity["backend"] == "gold"
    sampler.close()


def test_a_row_without_a_reference_is_an_error():
    sampler = GoldSampler()
    with pytest.raises(ValueError, match="model 'gold' is for suites"):
        list(sampler.sample([Request({"prompt": "?"})]))
