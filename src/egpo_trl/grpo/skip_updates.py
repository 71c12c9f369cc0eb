"""Optimizer steps without a single row that carries a gradient are left out, momentum and weight decay included."""

from typing import Any

import torch
from transformers import TrainerCallback


class SkipDeadUpdates(TrainerCallback):
    """
    Takes the gradients away, which are 0, before the optimizer's step, so that it has nothing to update.

    `count` has to be told the live rows of each micro-batch, added up over processes.
    """

    def __init__(self) -> None:
        self._live_rows: torch.Tensor | float = 0.0
        self.skipped: list[float] = []  # 1.0 or 0.0 for each optimizer step since the last log

    def count(self, live_rows: torch.Tensor) -> None:
        """Add the live rows of one micro-batch."""
        self._live_rows = self._live_rows + live_rows

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        skips = float(self._live_rows) == 0.0
        self._live_rows = 0.0
        self.skipped.append(float(skips))
        if skips:
            kwargs["optimizer"].zero_grad(set_to_none=True)
