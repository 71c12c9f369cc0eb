"""A log on disk that a running training can be watched by."""

import json
import os
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from .run_log import LOG_FILE


class LogFileCallback(TrainerCallback):
    """
    Writes every log into `log.jsonl` in the output folder, on disk as soon as it is made.

    `trainer_state.json` is written with checkpoints and at the end only. When a run is resumed, the file is written anew
    from the state of the checkpoint, so that steps which are trained again do not stand in it twice.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        path = Path(args.output_dir) / LOG_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(entry) + "\n" for entry in state.log_history), encoding="utf-8")
        partial.replace(path)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero or not state.log_history:
            return
        with (Path(args.output_dir) / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(state.log_history[-1]) + "\n")
            file.flush()
            os.fsync(file.fileno())
