"""What Python users get in three lines: progress, files for the report, scores on held-out rows."""

import json
import sys

import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK

from egpo_trl import EGPOTrainer, HeldOutCallback, RolloutLogCallback, ToolCallReward, watch, write_html_report
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.demo.world import make_rows
from egpo_trl.runs.notebook_callback import NotebookCallback
from tests.tiny import checksum_reward, config


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(demo_policy_path())


def make_trainer(folder, tokenizer, reward=None, **options):
    options = {
        "max_completion_length": 40,
        "max_steps": 2,
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        **options,
    }
    return EGPOTrainer(
        str(demo_policy_path()), reward or ToolCallReward(), config(folder, **options), Dataset.from_list(make_rows(16)),
        processing_class=tokenizer,
    )  # fmt: skip


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def held_out(count=4):
    return Dataset.from_list(make_rows(count, split="test"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, tokenizer):
    """A finished run of three lines, its trainer, and the weights of a run without them."""
    folder = tmp_path_factory.mktemp("run")
    trainer = make_trainer(folder, tokenizer)
    watch(trainer)
    trainer.add_callback(HeldOutCallback(trainer, held_out(), every_steps=1))
    trainer.train()
    plain = make_trainer(folder / "plain", tokenizer)
    plain.train()
    return folder, trainer, plain


def test_watching_changes_no_weight(run):
    _, trainer, plain = run
    pairs = zip(trainer.model.state_dict().values(), plain.model.state_dict().values(), strict=True)
    assert all(torch.equal(watched, alone) for watched, alone in pairs)


def test_the_display_of_transformers_is_replaced(run):
    kinds = {type(callback) for callback in run[1].callback_handler.callbacks}
    assert DEFAULT_PROGRESS_CALLBACK not in kinds
    assert {"ConsoleCallback", "LogFileCallback", "RolloutLogCallback"} <= {kind.__name__ for kind in kinds}


def test_scores_before_during_and_after_are_logged_for_trackers(run):
    folder, _, _ = run
    log = read_lines(folder / "log.jsonl")
    for decoding in ("greedy", "sampled"):
        name = f"eval_exact_match/{decoding}"  # trackers show it as eval/exact_match/…
        assert [entry["step"] for entry in log if name in entry] == [0, 1, 2]
        halves = [json.loads((folder / f"{half}.json").read_text()) for half in ("before", "after")]
        scores = [half[decoding]["exact_match"]["all"] for half in halves]
        assert [entry[name] for entry in log if name in entry][::2] == scores
    assert [entry["step"] for entry in log if "reward" in entry] == [1, 2]  # no log of a step is lost
    assert all("reward" not in entry for entry in log if "eval_exact_match/greedy" in entry)


def test_rollouts_are_written_token_by_token(run):
    folder, _, _ = run
    rows = read_lines(folder / "rollouts.jsonl")
    assert [row["step"] for row in rows] == [1] * 8 + [2] * 8  # two groups a step
    for row in rows:
        assert "".join(token[0] for token in row["tokens"]) == row["completion"]
        assert {token[2] for token in row["tokens"]} <= {0, 1}
        assert all(token[1] >= 0 for token in row["tokens"])
        assert row["reward"] == float(row["reason"] == "correct")
        assert row["reference"].startswith("[")
    first = [row for row in rows if row["step"] == 1]
    for group in (first[:4], first[4:]):
        assert len({json.dumps(row["prompt"]) for row in group}) == 1
        assert sum(row["advantage"] for row in group) == pytest.approx(0, abs=1e-3)
        mean = sum(row["reward"] for row in group) / 4
        assert all((row["advantage"] > 0) == (row["reward"] > mean) for row in group)
    assert write_html_report(folder).stat().st_size > 50_000


def test_a_resumed_run_keeps_the_rollouts_before_the_checkpoint(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, save_strategy="steps", save_steps=1, max_steps=2)
    watch(trainer)
    trainer.train()
    whole = read_lines(tmp_path / "rollouts.jsonl")
    again = make_trainer(tmp_path, tokenizer, save_strategy="steps", save_steps=1, max_steps=2)
    watch(again)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert [(row["step"], row["completion"]) for row in read_lines(tmp_path / "rollouts.jsonl")] == [
        (row["step"], row["completion"]) for row in whole
    ]


def test_rewards_without_reasons_and_truncated_rollouts(tmp_path, tokenizer):
    options = {"mask_truncated_completions": True, "max_completion_length": 8, "max_steps": 1}
    trainer = make_trainer(tmp_path, tokenizer, checksum_reward, **options)
    trainer.add_callback(RolloutLogCallback(trainer, groups=1))
    trainer.train()
    rows = read_lines(tmp_path / "rollouts.jsonl")
    assert len(rows) == 4
    assert {row["reason"] for row in rows} <= {"correct", "no_reward"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda trainer: HeldOutCallback(trainer, held_out(), every_steps=-1), "every_steps must be at least 0"),
        (lambda trainer: RolloutLogCallback(trainer, groups=0), "groups and times must be at least 1"),
    ],
)
def test_wrong_options(tmp_path, tokenizer, make, message):
    with pytest.raises(ValueError, match=message):
        make(make_trainer(tmp_path, tokenizer))


def test_held_out_rows_need_a_reward_that_judges(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="make it a ToolCallReward"):
        HeldOutCallback(make_trainer(tmp_path, tokenizer, checksum_reward), held_out())


def test_a_measurement_that_fails_after_training_is_a_warning(tmp_path, tokenizer, monkeypatch, caplog):
    from egpo_trl.runs import held_out_callback

    trainer = make_trainer(tmp_path, tokenizer, max_steps=1)
    callback = HeldOutCallback(trainer, held_out())
    trainer.add_callback(callback)
    calls = []

    def measure(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise RuntimeError("out of memory")
        return {"greedy": {"criterion": "exact match", "exact_match": {"all": 0.5}}}

    monkeypatch.setattr(held_out_callback, "evaluate_held_out", measure)
    trainer.train()
    assert callback.after is None
    assert not (tmp_path / "after.json").exists()
    assert "could not be measured" in caplog.text


def test_a_live_table_in_notebooks(tmp_path, tokenizer, monkeypatch):
    """Its columns grow with the logs; the scores of held-out rows join the line of their step."""
    import transformers.utils.notebook as notebook

    from egpo_trl.runs import watching

    pages = []

    class Shown:
        def update(self, page):
            pages.append(page.data)

    def display(page, display_id=None):
        pages.append(page.data)
        return Shown()

    monkeypatch.setattr(notebook.disp, "display", display)
    monkeypatch.setattr(watching, "is_in_notebook", lambda: True)
    trainer = make_trainer(tmp_path, tokenizer)
    watch(trainer)
    trainer.add_callback(HeldOutCallback(trainer, held_out(2)))
    assert any(isinstance(callback, NotebookCallback) for callback in trainer.callback_handler.callbacks)
    trainer.train()
    assert "Training Loss" not in pages[-1]
    for words in ("reward", "CoT entropy", "held out: exact match, greedy", "<progress"):
        assert words in pages[-1], words
    assert pages[-1].count("<tr") == 4  # header, steps 0, 1 and 2


def test_import_stays_light():
    import subprocess

    code = (
        "import sys, egpo_trl; assert 'torch' not in sys.modules; egpo_trl.watch; assert 'IPython' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
