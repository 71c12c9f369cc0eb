"""The tiny policy of the multi-turn world and its tokenizer."""

import random

import pytest
import torch
import warm_start
from multi_turn_demonstrations import demonstrate
from multi_turn_tokenizer import build_multi_turn_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.chat_template_utils import is_chat_template_prefix_preserving, supports_tool_calling

from egpo_trl import TrajectoryReward
from egpo_trl.demo.multi_turn_world import make_rows, make_scenarios
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.environments import ENVIRONMENTS
from egpo_trl.evaluation.exact_match import exact_match
from egpo_trl.evaluation.rollouts import judge_rollouts


@pytest.fixture(scope="module")
def policy():
    path = demo_policy_path("multi-turn")
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32), AutoTokenizer.from_pretrained(path)


@pytest.fixture(scope="module")
def built():
    return build_multi_turn_tokenizer()


def test_trl_takes_the_template(policy):
    tokenizer = policy[1]
    assert supports_tool_calling(tokenizer)
    assert is_chat_template_prefix_preserving(tokenizer)
    assert "tool_calls" in tokenizer.response_template["fields"]


def test_text_survives_the_tokenizer(built):
    rng = random.Random(0)
    for scenario in make_scenarios(100, 0, "test"):
        text = "\n".join([*scenario.turns, *(turn.text + turn.result for turn in demonstrate(rng, scenario))])
        assert built.decode(built.encode(text)) == text
    for text in ("<think>", "</tool_response>", "find_ticket", "245", "Krypton", "warranty"):
        assert len(built.encode(text)) == 1


def test_the_shipped_tokenizer_is_the_one_that_the_source_builds(policy, built):
    assert policy[1].get_vocab() == built.get_vocab()
    assert policy[1].chat_template == built.chat_template
    assert policy[1].response_template == built.response_template


def test_the_shipped_policy_has_something_to_learn(policy):
    """Strict success at temperature 1 between 30 and 65 %, on a sample with room for its error."""
    judged = judge_rollouts(
        *policy, make_rows(100, 1, "test"), TrajectoryReward(), ENVIRONMENTS, max_completion_length=208,
        max_tool_rounds=6, temperature=1.0, batch_size=100,
    )  # fmt: skip
    assert 0.3 < exact_match(judged)["all"] < 0.65
    assert sum(one.reason in ("no_think_block", "malformed_call") for one in judged) < 15


def test_the_shipped_policy_is_small_and_safe():
    files = list(demo_policy_path("multi-turn").iterdir())
    assert sum(file.stat().st_size for file in files) < 3 * 2**20
    assert {file.suffix for file in files} <= {".json", ".jinja", ".safetensors"}


def test_the_build_is_reproducible(tmp_path, monkeypatch):
    monkeypatch.setattr(warm_start, "TRAIN_QUERIES", 200)
    for name in ("a", "b"):
        command = ["--output_dir", str(tmp_path / name), "--steps", "2", "--copy_steps", "2", "--world", "multi-turn"]
        warm_start.main(command)
    a, b = (AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict() for name in ("a", "b"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_only_what_the_assistant_writes_is_imitated(built, monkeypatch):
    monkeypatch.setattr(warm_start, "TRAIN_QUERIES", 40)
    for example in warm_start.WORLDS["multi-turn"].encode(built, random.Random(0)):
        written = [token for token, mine in zip(example.ids, example.written, strict=True) if mine]
        text = built.decode(written)
        assert "<tool_response>" not in text
        assert text.count("<think>") == text.count("</think>") == text.count("<|im_end|>")
        assert example.written[-1]
