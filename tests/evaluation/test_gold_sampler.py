"""References in place of a model."""

import pytest

from egpo_trl.evaluation.evaluate import make_sampler
from egpo_trl.sampling.config import EvaluationConfig
from egpo_trl.sampling.sampler import Request


def test_answers_with_the_references_in_the_rows(tmp_path):
    sampler = make_sampler(EvaluationConfig(model="gold", output_dir=str(tmp_path)))
    found = list(sampler.sample([Request({"gold": "[f()]"}), Request({"gold": "no"})]))
    assert [(position, one.text, one.finish_reason) for position, one in found] == [
        (0, "[f()]", "stop"),
        (1, "no", "stop"),
    ]
    assert sampler.identity["backend"] == "gold"
    sampler.close()


def test_a_row_without_a_reference_is_an_error(tmp_path):
    sampler = make_sampler(EvaluationConfig(model="gold", output_dir=str(tmp_path)))
    with pytest.raises(ValueError, match="model 'gold' is for suites"):
        list(sampler.sample([Request({"prompt": "?"})]))
