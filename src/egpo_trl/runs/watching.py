"""[`watch`]: what `egpo-trl train` shows and writes while a trainer trains, in one call."""

from typing import TYPE_CHECKING

from transformers import PrinterCallback
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK
from transformers.utils import is_in_notebook

from .callbacks import ConsoleCallback, LogFileCallback
from .rollout_log import RolloutLogCallback

if TYPE_CHECKING:
    from trl import GRPOTrainer


def watch(trainer: "GRPOTrainer") -> None:
    """
    Show the progress of a trainer, and write the files that curves and report are drawn from.

    Replaces the progress display of transformers, which shows the loss, by [`ConsoleCallback`] or in a notebook by
    [`NotebookCallback`]; adds [`LogFileCallback`] (`log.jsonl`) and [`RolloutLogCallback`] (`rollouts.jsonl`).

    Args:
        trainer ([`EGPOTrainer`] or [`~trl.GRPOTrainer`]):
            Trainer, before `train` is called.

    Example:

    ```python
    from egpo_trl import HeldOutCallback, watch, write_html_report

    watch(trainer)
    trainer.add_callback(HeldOutCallback(trainer, held_out_rows))
    trainer.train()
    write_html_report(trainer.args.output_dir)
    ```
    """
    for kind in (PrinterCallback, DEFAULT_PROGRESS_CALLBACK):
        trainer.remove_callback(kind)
    if is_in_notebook():
        from .notebook_callback import NotebookCallback  # needs IPython

        trainer.add_callback(NotebookCallback())
    else:
        trainer.add_callback(ConsoleCallback())
    trainer.add_callback(LogFileCallback())
    trainer.add_callback(RolloutLogCallback(trainer))
