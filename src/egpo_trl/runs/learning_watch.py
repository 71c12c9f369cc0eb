"""Says once, in one line with the remedy, that a run cannot learn."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from transformers import TrainerCallback

_STEPS = 10  # in a row, before something is said


class Sign(NamedTuple):
    """A sign in the log that nothing is learned, and what to do about it."""

    test: Callable[[Mapping[str, Any]], bool]
    words: str


SIGNS = (
    Sign(
        lambda log: log.get("completions/clipped_ratio", 0.0) >= 1.0,
        "every completion was cut off at max_completion_length, so that no answer was complete. Raise "
        "max_completion_length, or switch thinking off (enable_thinking: false).",
    ),
    Sign(
        lambda log: log.get("frac_reward_zero_std", 0.0) >= 1.0 and log.get("reward", 0.0) <= 0.0,
        "no completion earned a reward, so that no group has an advantage. Look at the completions (log_completions: "
        "true) and at tool_call_syntax; a model that never calls needs SFT first (egpo-trl sft).",
    ),
    Sign(
        lambda log: log.get("frac_reward_zero_std", 0.0) >= 1.0,
        "all rewards of every group were equal, so that no group has an advantage. Use harder rows, a higher "
        "temperature, more num_generations, or dynamic_sampling_rounds.",
    ),
    Sign(
        lambda log: log.get("grad_norm") == 0.0,
        "the gradient was 0 although rewards differ. Check learning_rate, beta, and that the trained weights take part "
        "in the forward pass.",
    ),
)


class LearningWatch(TrainerCallback):
    """Watches the log for `SIGNS`; the first one that holds for ten steps, or for a whole short run, is told."""

    def __init__(self) -> None:
        self._since: dict[Sign, int] = {}
        self._told = False
        self._seen = self._first = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._first = self._seen = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not logs or "reward" not in logs:
            return
        for sign in SIGNS:
            if sign.test(logs):
                self._since.setdefault(sign, self._seen)
            else:
                self._since.pop(sign, None)
        self._seen = state.global_step
        self._tell(state, _STEPS)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._seen > self._first:
            self._tell(state, min(_STEPS, self._seen - self._first))

    def _tell(self, state: Any, steps: int) -> None:
        held = [sign for sign in SIGNS if sign in self._since and self._seen - self._since[sign] >= steps]
        if self._told or not held or not state.is_world_process_zero:
            return
        self._told = True
        since = self._since[held[0]]
        print(f"note: nothing is being learned: from step {since + 1} to {self._seen} {held[0].words}", flush=True)
