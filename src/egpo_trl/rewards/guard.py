"""A user's reward function must not end a training run: [`guard_reward`] turns what goes wrong in it into 0.0."""

import functools
import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .tool_call import ToolCallReward

logger = logging.getLogger(__name__)


def guard_reward(func: Callable[..., Any]) -> Callable[..., Any]:
    """
    Wrap a reward function so that an exception in it becomes a logged 0.0.

    The function is called on the whole batch. If that raises, or returns anything but one number for each completion,
    it is called on each completion alone, and only those that fail again get 0.0. What went wrong is logged as a
    warning, and the share of failed completions as the metric `reward_errors/<name>`. `None`, TRL's way to say that a
    function does not apply to a completion, stays `None`.

    Args:
        func (`Callable`):
            Reward function with the signature that [`~trl.GRPOTrainer`] calls, plain or `async`.

    Returns:
        `Callable`:
            Function of the same name and kind that does not raise; a [`ToolCallReward`], which never does, as it is.

    Example:

    ```python
    >>> from egpo_trl import guard_reward

    >>> @guard_reward
    ... def is_short(completions, **kwargs):
    ...     return [1 / (len(completion) - 5) for completion in completions]

    >>> is_short(prompts=["", ""], completions=["1234567", "12345"])
    [0.5, 0.0]
    ```
    """
    if isinstance(func, ToolCallReward):
        return func  # never raises, and the trainer must still find out what it is
    name = getattr(func, "__name__", type(func).__name__)
    is_async = inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004

    async def rewards_of(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        inputs = {"prompts": prompts, "completions": completions, **columns}
        count = len(completions)

        async def attempt(batch: Mapping[str, Any], size: int) -> list[float | None]:
            result = func(**batch)
            return _numbers(await result if inspect.isawaitable(result) else result, size)

        rewards: list[float | None] = []
        failed = 0
        try:
            rewards = await attempt(inputs, count)
        except Exception as error:
            logger.warning("Reward %r failed on a batch: %r. Trying its completions one by one.", name, error)
            for index in range(count):
                try:
                    rewards += await attempt(_only(inputs, index, count), 1)
                except Exception as error:
                    failed += 1
                    rewards.append(0.0)
                    logger.warning("Reward %r failed on completion %d, which gets 0.0: %r", name, index, error)
        log_metric = columns.get("log_metric")
        if callable(log_metric):
            log_metric(f"reward_errors/{name}", failed / max(count, 1))
        return rewards

    if is_async:
        return functools.wraps(func)(rewards_of)

    def guarded(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        steps = rewards_of(prompts, completions, **columns)
        try:
            steps.send(None)  # nothing in it waits, so its first step is its last
        except StopIteration as stop:
            rewards: list[float | None] = stop.value
            return rewards
        steps.close()
        raise TypeError(f"Reward {name!r} returned an awaitable that waits: define it with `async def`.")

    return functools.wraps(func)(guarded)


def _numbers(rewards: Any, count: int) -> list[float | None]:
    values = [None if reward is None else float(reward) for reward in rewards]
    if len(values) != count:
        raise ValueError(f"{len(values)} rewards for {count} completions")
    if any(value is not None and not math.isfinite(value) for value in values):
        raise ValueError("a reward that is not finite")
    return values


def _only(inputs: Mapping[str, Any], index: int, count: int) -> dict[str, Any]:
    """The inputs of one completion; what it logs would not line up with the batch, so it is dropped."""
    one: dict[str, Any] = {}
    for name, value in inputs.items():
        if name in ("log_extra", "log_metric"):
            one[name] = lambda *_: None
        else:
            one[name] = [value[index]] if isinstance(value, (list, tuple)) and len(value) == count else value
    return one
