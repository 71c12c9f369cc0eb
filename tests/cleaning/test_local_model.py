"""A transformers model as judge: its questions go through it in batches."""

import asyncio

import pytest

from egpo_trl.cleaning import CleaningConfig, CleaningStopped, clean
from egpo_trl.cleaning.judges import make_judge
from egpo_trl.demo.policy import demo_policy_path
from tests.cleaning.world_judge import corrupted_rows


def config(folder, **fields):
    return CleaningConfig(**{
        "output_dir": str(folder), "judge_backend": "transformers", "judge_model": str(demo_policy_path()),
        "max_tokens": 8, "max_retries": 0, "judge_batch_size": 3, **fields,
    })  # fmt: skip


def test_batches(tmp_path, monkeypatch):
    judge = make_judge(config(tmp_path))
    sizes = []
    sample = judge._sample
    monkeypatch.setattr(judge, "_sample", lambda prompts, seed: sizes.append(len(prompts)) or sample(prompts, seed))

    async def ask():
        questions = [[{"role": "user", "content": f"Set a timer for {n} minutes."}] for n in range(3, 10)]
        replies = await asyncio.gather(*(judge.ask(question, 0) for question in questions))
        alone = await judge.ask(questions[0], 0)
        await judge.close()
        return replies, alone

    replies, alone = asyncio.run(ask())
    assert sizes == [3, 3, 1, 1]
    assert alone == replies[0]
    assert all(reply.tokens > 0 for reply in replies)


def test_a_model_that_gives_no_verdicts(tmp_path):
    rows, _ = corrupted_rows(3)
    system, user = tmp_path / "system.txt", tmp_path / "user.txt"
    system.write_text("Judge.")
    user.write_text("$conversation $tools $answer")
    files = {"system_prompt_file": str(system), "user_prompt_file": str(user)}
    report = clean(config(tmp_path / "out", **files), rows, evaluate_row=lambda row: None)
    assert report.counts["llm"]["dropped"] == {"invalid_verdict": 3}


def test_questions_that_are_too_long(tmp_path):
    rows, _ = corrupted_rows(1)
    with pytest.raises(CleaningStopped, match="exceed the model's 1024"):
        clean(config(tmp_path, max_tokens=1000), rows, evaluate_row=lambda row: None)
