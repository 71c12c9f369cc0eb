"""Stops a training run after the current step on Ctrl-C, with a checkpoint."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import TrainerCallback


class Interrupted(KeyboardInterrupt):
    """Training was stopped by the user; the message says what was saved and how to continue."""


class InterruptCallback(TrainerCallback):
    """Ends training with a checkpoint after the step in which Ctrl-C was pressed, in all processes."""

    def __init__(self) -> None:
        self.was_asked = False
        self._num_processes = 1

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take Ctrl-C (SIGINT) while the block runs, where this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = signal.signal(signal.SIGINT, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.was_asked and self._num_processes == 1:
            raise KeyboardInterrupt
        if not self.was_asked:
            print("\nCtrl-C: training stops after this step …", flush=True)
        self.was_asked = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._num_processes = args.world_size

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._num_processes > 1:
            self.was_asked = self._any_process(args.device)
        if self.was_asked:
            control.should_training_stop = control.should_save = True

    def raise_if_asked(self, place: str, output: Path) -> None:
        """Raise [`Interrupted`] if training was stopped, with how to continue."""
        if self.was_asked:
            raise Interrupted(
                f"{place}. Model, checkpoint and state are in {output}. To continue, run the same command with "
                "--resume_from_checkpoint true."
            )

    def _any_process(self, device: Any) -> bool:
        import torch
        from accelerate.utils import reduce

        return bool(reduce(torch.tensor(float(self.was_asked), device=device), reduction="sum").item())
