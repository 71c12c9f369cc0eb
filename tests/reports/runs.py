"""Folders of runs as training leaves them, made up."""

import json
import math

from egpo_trl.reports.rollouts import ROLLOUT_FILE
from egpo_trl.reports.run_log import save_config


def sample(text="<think>a b</think>[f(x=1)]", score=0.0, request="?", **more):
    return {
        "prompt": [{"role": "user", "content": request}], "reference": "[]", "completion": text, "score": score,
        "reason": "correct" if score else "wrong_value", **more,
    }  # fmt: skip


TOKENS = [
    ["<think>", 0.1, False],
    ["a", 0.5, True],
    [" b", 2.0, True],
    ["</think>", 0.1, False],
    ["[f(x=1)]", 0.3, False],
]


def summary(completions):
    return {
        name: {
            "exact_match": {"all": 0.5, "two calls": 0.25},
            "reasons": {"correct": 1, "wrong_value": 3},
            "completions": completions,
        }
        for name in ("greedy", "sampled")
    }


def make_run(folder, old=None, new=None, finished=True, steps=3):
    folder.mkdir(parents=True, exist_ok=True)
    log = [
        {"step": s, "reward": s / steps, "reason/correct": s / steps, "reason/wrong_value": 1 - s / steps}
        for s in range(1, steps + 1)
    ]
    log += [{"step": steps, "train_runtime": 90.0}] if finished else []
    (folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
    for name, completions in (("before", old), ("after", new)):
        if completions is not None:
            (folder / f"{name}.json").write_text(json.dumps(summary(completions)))
    return folder


def training_rollout(step, request, number, reason):
    """As `RolloutLogCallback` writes it: a thought, a call, its result, and an answer."""
    entropy = 0.5 + number / 2 + math.sin(step)
    tokens = [
        ["<think>", 0.1, 0], [f"plan{number}", entropy, 1], [" then", entropy / 2, 1], ["</think>", 0.0, 0],
        [f"\n[f(x={number})]", 0.2, 0], [f"result{number}", 0.0, 2], ["done", 0.1, 0],
    ]  # fmt: skip
    return {
        "step": step, "prompt": [{"role": "user", "content": request}], "reference": "[]", "reason": reason,
        "reward": float(reason == "correct"), "advantage": number - 1.5, "completion": "".join(t[0] for t in tokens),
        "tokens": tokens,
    }  # fmt: skip


def make_full_run(folder, steps=40, shift=0.0):
    """A finished run with everything that a report can show: 16 held-out completions and 16 of training."""
    old = [sample(tokens=TOKENS, request=f"held {n}") for n in range(8)]
    new = [sample(tokens=TOKENS, request=f"held {n}", score=1.0) for n in range(8)]
    make_run(folder, old, new, steps=steps)
    log = [
        {
            "step": s, "reward": 0.4 + shift + 0.4 * s / steps + 0.05 * math.sin(s), "eval_reward": 0.5 * s / steps,
            "egpo/cot_entropy": 0.5 - 0.2 * s / steps, "egpo/answer_entropy": 0.1, "egpo/bonus": 0.04,
            "completions/mean_length": 41.0, "egpo/cot_length": 20.0, "frac_reward_zero_std": 0.3, "loss": 0.001 * s,
            "reason/correct": 0.8 * s / steps, "reason/wrong_value": 0.1, "reason/missing_call": 0.9 - 0.8 * s / steps,
        }
        for s in range(1, steps + 1)
    ]  # fmt: skip
    log.append({"step": steps, "train_runtime": 90.0})
    (folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
    reasons = ("correct", "wrong_value", "correct", "missing_call")
    rows = [training_rollout(s, f"ask {s}", n, reasons[n]) for s in (1, 11, 21, 31) for n in range(4)]
    (folder / ROLLOUT_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = {"max_steps": steps, "egpo_lambda": 0.4 + shift, "egpo_alpha": 2.0, "entropy_level": "token", "lr": 1}
    save_config(
        fields | {"model_name_or_path": "demo", "dataset_name": "demo"}, ["max_steps"], {"trl": "1.16"}, folder
    )
    return folder
