"""Sampling: batches give what single prompts give, the random state is left alone, and completions end where they end."""

import torch

from egpo_trl import ToolCallReward
from egpo_trl.demo.world import make_rows
from egpo_trl.evaluation.exact_match import Judged, exact_match, judge_rows, reasons
from egpo_trl.sampling.generate import render_prompt, sample_completions
from tests.tiny import tiny_model


def test_batched_equals_single(tiny_tokenizer):
    model = tiny_model(tiny_tokenizer).double()  # so that padding does not change an argmax by rounding
    prompts = [render_prompt(tiny_tokenizer, row) for row in make_rows(5)]
    batched = sample_completions(model, tiny_tokenizer, prompts, max_new_tokens=6, batch_size=3)
    single = [sample_completions(model, tiny_tokenizer, [prompt], max_new_tokens=6)[0] for prompt in prompts]
    assert batched == single
    assert all(1 <= len(ids) <= 6 for ids in batched)


def test_sampling_is_seeded_and_leaves_the_random_state_alone(tiny_tokenizer):
    model = tiny_model(tiny_tokenizer).train()
    prompts = [render_prompt(tiny_tokenizer, row) for row in make_rows(3)]
    state = torch.get_rng_state()
    runs = [
        sample_completions(model, tiny_tokenizer, prompts, max_new_tokens=6, temperature=1.0, seed=s)
        for s in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training


def test_the_prompt_is_the_one_of_training(tmp_path, tiny_tokenizer):
    """Token for token what EGPOTrainer renders."""
    from egpo_trl import EGPOTrainer
    from tests.tiny import tool_rows, train

    rendered = {}

    class Spy(EGPOTrainer):
        def _tokenize_prompts(self, prompts):
            output = super()._tokenize_prompts(prompts)
            rendered.update({p[0]["content"]: list(ids) for p, ids in zip(prompts, output[0], strict=True)})
            return output

    rows = tool_rows(4)
    trainer = train(tmp_path, tiny_tokenizer, Spy, dataset=rows, max_steps=1)
    assert rendered
    for row in rows:
        if row["prompt"][0]["content"] in rendered:
            ours = render_prompt(tiny_tokenizer, row, chat_template_kwargs=trainer.args.chat_template_kwargs)
            assert rendered[row["prompt"][0]["content"]] == ours
    assert render_prompt(tiny_tokenizer, {"prompt": "as is"}) == tiny_tokenizer.encode("as is")


def test_judging(tiny_tokenizer):
    rows = make_rows(4)
    judged = judge_rows(tiny_model(tiny_tokenizer), tiny_tokenizer, rows, ToolCallReward(), max_new_tokens=3)
    assert [item.row for item in judged] == rows
    assert exact_match(judged)["all"] == 0.0
    assert sum(reasons(judged).values()) == 4


def test_exact_match_by_hand():
    judged = [Judged({"kind": kind}, "", score, reason) for kind, score, reason in
              (("a", 1.0, "correct"), ("a", 0.0, "truncated"), ("b", 1.0, "correct"))]  # fmt: skip
    assert exact_match(judged) == {"all": 2 / 3, "a": 0.5, "b": 1.0}
    assert exact_match(judged, by=lambda item: item.reason) == {"all": 2 / 3, "correct": 1.0, "truncated": 0.0}
    assert reasons(judged) == {"correct": 2, "truncated": 1}
