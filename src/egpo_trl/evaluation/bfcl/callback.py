"""[`BFCLCallback`]: BFCL on a small fixed subset while a model is trained."""

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ...sampling.config import EvaluationConfig
from ...sampling.local_sampler import TransformersSampler
from ..evaluate import evaluate
from ..summary import Summary
from .suite import BFCL

logger = logging.getLogger(__name__)

FOLDER = "bfcl"


class BFCLCallback(TrainerCallback):
    """Evaluates the model on BFCL before, during and after training; an evaluation that fails is a warning."""

    def __init__(
        self,
        every_steps: int,
        log: Callable[[dict[str, float]], None],
        suite: Mapping[str, Any] | None = None,
        sampling: Mapping[str, Any] | None = None,
    ) -> None:
        if every_steps < 1:
            raise ValueError(f"every_steps must be at least 1, got {every_steps}.")
        self._every_steps = every_steps
        self._log = log
        self._options = {"categories": "single_turn", "max_per_category": 8, **(suite or {})}
        self._sampling = dict(sampling or {})
        self._last = -1
        BFCL(**self._options).check()  # what is missing is missed before training

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            self._evaluate(args, state, control, kwargs)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self._every_steps == 0:
            self._evaluate(args, state, control, kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step != self._last:
            self._evaluate(args, state, control, kwargs)

    def _evaluate(self, args: Any, state: Any, control: Any, objects: Mapping[str, Any]) -> None:
        self._last = state.global_step
        folder = Path(args.output_dir) / FOLDER / f"step-{state.global_step}"
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was trained from here before: other weights
        model, name = objects["model"], f"{args.output_dir} at step {state.global_step}"
        was_training = model.training
        model.eval()
        try:
            config = EvaluationConfig(model_name_or_path=name, output_dir=str(folder), **self._sampling)
            sampler = TransformersSampler(config, model, objects["processing_class"])
            summary = evaluate(BFCL(**self._options), config, sampler).summary
        except (ValueError, OSError, RuntimeError) as error:  # a training is not to end for an evaluation of it
            logger.warning("step %d is not evaluated on BFCL: %s", state.global_step, error)
            return
        finally:
            model.train(was_training)
        should_log = control.should_log
        self._log(metrics_of(summary))
        control.should_log = should_log  # logging takes the order to log the step back


def metrics_of(summary: Summary) -> dict[str, float]:
    scores = {row.category: row.score for row in summary.rows if row.weights is None}
    strict = [summary.extra["strict"][category] for category in scores]
    return {
        **{f"eval_bfcl/{category}": score for category, score in scores.items()},
        "eval_bfcl/mean": sum(scores.values()) / len(scores),
        "eval_bfcl/strict": sum(strict) / len(strict),
    }
