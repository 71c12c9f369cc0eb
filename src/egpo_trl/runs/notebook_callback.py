"""[`NotebookCallback`]: the progress of a run as a live table in a notebook."""

from typing import Any

from transformers.utils.notebook import NotebookProgressCallback

from .callbacks import SHOWN


class NotebookCallback(NotebookProgressCallback):
    """Shows transformers' live table in a notebook, with what [`ConsoleCallback`] prints instead of the loss alone."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        self.training_tracker.inner_table = None  # its columns come with the logs

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        shown = {
            f"held out: {name}" if prefix else name: form.format(value)
            for prefix in ("", "eval_")
            for metric, name, form in SHOWN
            if (value := (logs or {}).get(prefix + metric)) is not None
        }
        if not shown or self.training_tracker is None:
            return
        tracker = self.training_tracker
        header, *rows = tracker.inner_table or [["step"]]
        header = [*header, *(name for name in shown if name not in header)]
        cells = {"step": str(state.global_step), **shown}
        if rows and rows[-1][0] == cells["step"]:
            cells = {**dict(zip(header, rows.pop(), strict=False)), **cells}
        rows.append([cells.get(name, "") for name in header])
        tracker.inner_table = [header, *([*row, *[""] * (len(header) - len(row))] for row in rows)]
        tracker.display()

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the bar of an evaluation; its log is in the table."""
        if self.training_tracker is not None:
            self.training_tracker.remove_child()
        self.prediction_bar = None
