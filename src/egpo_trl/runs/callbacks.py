"""Callbacks of a run: progress in a terminal, and a log file that can be watched."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ..reports.run_log import LOG_FILE
from ..utils.files import write_json_lines

# Metric, its name on screen, and its form.
SHOWN = (
    ("reward", "reward", "{:.3f}"),
    ("exact_match/greedy", "exact match, greedy", "{:.3f}"),
    ("exact_match/sampled", "sampled", "{:.3f}"),
    ("strict_success/greedy", "strict success, greedy", "{:.3f}"),
    ("strict_success/sampled", "sampled", "{:.3f}"),
    ("kl", "KL", "{:.3f}"),
    ("egpo/cot_entropy", "CoT entropy", "{:.3f}"),
    ("egpo/answer_entropy", "answer entropy", "{:.3f}"),
    ("egpo/bonus", "bonus", "{:.3f}"),
    ("completions/mean_length", "length", "{:.0f}"),
)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _values(logs: Mapping[str, Any], prefix: str = "") -> str:
    shown = ((name, form, logs.get(prefix + metric)) for metric, name, form in SHOWN)
    return "  ".join(f"{name} {form.format(value)}" for name, form, value in shown if value is not None)


class ConsoleCallback(TrainerCallback):
    """Prints reward, entropies, bonus, length and the time left at every log, and the same of every evaluation."""

    def __init__(self) -> None:
        self._start = (0.0, 0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._start = (time.monotonic(), state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not state.is_world_process_zero or not logs:
            return
        place = f"step {state.global_step:>4}/{state.max_steps}"
        if "reward" in logs:
            began, first = self._start
            done = state.global_step - first
            left = (time.monotonic() - began) / max(1, done) * (state.max_steps - state.global_step)
            print(f"{place}  {_values(logs)}  left {_clock(left)}", flush=True)
        elif values := _values(logs, "eval_"):
            print(f"{place}  held out: {values}", flush=True)


class LogFileCallback(TrainerCallback):
    """Writes every log into `log.jsonl` at once; a resumed run begins the file with the log of its checkpoint."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        write_json_lines(state.log_history, Path(args.output_dir) / LOG_FILE)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero or not state.log_history:
            return
        with (Path(args.output_dir) / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(state.log_history[-1]) + "\n")
            file.flush()
            os.fsync(file.fileno())
