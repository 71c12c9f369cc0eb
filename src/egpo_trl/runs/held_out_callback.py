"""[`HeldOutCallback`]: scores on held-out rows before, during and after training, for files, logs and trackers."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback

from ..rewards.tool_call import ToolCallReward
from ..rewards.trajectory import TrajectoryReward
from ..utils.files import write_json
from .held_out import evaluate_held_out

if TYPE_CHECKING:
    from datasets import Dataset

    from ..egpo_trainer import EGPOTrainer

logger = logging.getLogger(__name__)


class HeldOutCallback(TrainerCallback):
    """
    Measures a model on held-out rows, greedily and at the training temperature: before the first step, every so many
    steps, and after the last.

    The scores are logged as `eval_exact_match/greedy` and `eval_exact_match/sampled` (`eval_strict_success/…` for rows
    with a `trajectory`), which trackers show under `eval/`. `before.json` and `after.json` in the output folder hold
    every judged completion, for the report.

    Args:
        trainer ([`EGPOTrainer`]):
            Trainer whose first reward judges: a [`ToolCallReward`] or [`TrajectoryReward`]. It trains in one process.
        rows ([`~datasets.Dataset`]):
            Held-out rows.
        every_steps (`int`, *optional*, defaults to `0`):
            Steps between measurements during training; 0 is none.
        environments (`Mapping[str, Callable]`, *optional*):
            Environments of rows with a `trajectory`, by the name that the rows give.

        skips_end (`Callable[[], bool]`, *optional*):
            Says after the last step whether the measurement is left out, as when somebody interrupts the run.

    Raises:
        ValueError: If several processes train, or the first reward does not judge calls.

    Example:

    ```python
    trainer.add_callback(HeldOutCallback(trainer, held_out_rows, every_steps=50))
    ```
    """

    def __init__(
        self,
        trainer: "EGPOTrainer",
        rows: "Dataset",
        every_steps: int = 0,
        environments: Mapping[str, Any] | None = None,
        skips_end: Callable[[], bool] = lambda: False,
    ) -> None:
        if trainer.accelerator.num_processes > 1 or trainer.is_fsdp_enabled:
            raise ValueError(
                "HeldOutCallback measures in the one process that trains, and several do. Use eval_strategy='steps' for "
                "the reward on held-out rows, or evaluate a checkpoint with egpo-trl evaluate."
            )
        if not trainer.reward_funcs or not isinstance(trainer.reward_funcs[0], ToolCallReward | TrajectoryReward):
            raise ValueError("HeldOutCallback judges by the first of reward_funcs: make it a ToolCallReward.")
        if every_steps < 0:
            raise ValueError(f"every_steps must be at least 0, got {every_steps}.")
        self._trainer, self._rows, self._every_steps, self._environments = trainer, rows, every_steps, environments
        self._skips_end = skips_end
        self._measured = -1
        self.before: dict[str, Any] | None = None
        self.after: dict[str, Any] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure, or after a resumption read what was measured before the first step."""
        folder = Path(args.output_dir)
        (folder / "after.json").unlink(missing_ok=True)
        before = folder / "before.json"
        if state.global_step and before.exists():
            self.before = json.loads(before.read_text(encoding="utf-8"))
            return
        before.unlink(missing_ok=True)
        self.before = self._measure(state.global_step, control)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(self.before, before)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure when it is time; after the last step before trackers close."""
        if control.should_training_stop:
            self._finish(args, state, control)
        elif self._every_steps and state.global_step % self._every_steps == 0:
            self._measure(state.global_step, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure if training ended in the middle of an epoch."""
        if self._measured != state.global_step:
            self._finish(args, state, control)

    def _finish(self, args: Any, state: Any, control: Any) -> None:
        self._measured = state.global_step
        if self._skips_end():
            return
        try:
            self.after = self._measure(state.global_step, control)
        except Exception:  # the trained model is worth more than its score
            logger.warning("The held-out rows could not be measured after training.", exc_info=True)
            return
        write_json(self.after, Path(args.output_dir) / "after.json")

    def _measure(self, step: int, control: Any) -> dict[str, Any]:
        self._measured = step
        summary = evaluate_held_out(self._trainer, self._rows, self._environments)
        logs = {
            f"eval_{part['criterion'].replace(' ', '_')}/{decoding}": part["exact_match"]["all"]
            for decoding, part in summary.items()
        }
        should_log = control.should_log
        Trainer.log(self._trainer, logs)  # that of GRPOTrainer would close the averages of the training metrics
        control.should_log = should_log  # logging takes the order to log the step back
        return summary
