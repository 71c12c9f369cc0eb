"""[`LeanGRPOConfig`]: the fields that [`LeanGRPOTrainer`] adds to TRL's [`~trl.GRPOConfig`]."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trl import GRPOConfig

from ..data.rows import BAD_ROWS, BAD_ROWS_HELP
from ..utils.options import option
from .update_options import SPLIT_INDEPENDENT_LOSS_TYPES, UPDATE_MODES, reads_whole_micro_batch


@dataclass
class LeanGRPOConfig(GRPOConfig):
    r"""
    Configuration class for the [`LeanGRPOTrainer`]: tools by row, executed tools under limits, and updates that leave out
    work without changing the gradient. It inherits every parameter, with its default, from [`~trl.GRPOConfig`].
    """

    think_tags: list[str] | None = option(
        "Opening and closing tag of the chain of thought. By default those of the tokenizer and its template; name "
        "them where only your prompt asks for them.",
        None,
    )
    enable_thinking: bool | None = option(
        "Whether the model is to think, as the chat template's variable of this name; by default its own default.",
        None,
    )
    render_tools: bool = option(
        "Whether the chat template gets each row's tools, which are then those that the row can call. False where the"
        " messages contain the functions.",
        True,
    )
    tool_timeout: float | None = option(
        "Seconds that a call of an executed tool may take, in a thread. None: no limit, and calls run in the "
        "trainer's thread.",
        30.0,
    )
    max_tool_result_characters: int = option(
        "Characters of a tool's result that the model sees; a note replaces the rest.",
        8192,
    )
    bad_rows: str = option(BAD_ROWS_HELP, "error", BAD_ROWS)
    trim_padding: str = option(
        "Leave out columns in which all rows of a forward pass are padding: 'auto' where it is exact, 'always', or "
        "'never'.",
        "auto",
        UPDATE_MODES,
    )
    drop_zero_advantages: str = option(
        "Leave rows with advantage 0 out of the loss pass: 'auto' where nothing gives them a gradient, 'always' (they lose "
        "their KL term), or 'never'.",
        "auto",
        UPDATE_MODES,
    )
    sort_by_length: str = option(
        "Sort the rows of an optimizer step by length into its micro-batches: 'auto' where the gradient stays the "
        "same, 'always', or 'never'.",
        "auto",
        UPDATE_MODES,
    )
    share_prefixes: str = option(
        "Compute the common prefix of the rows of a forward pass once: 'auto' where it is exact and saves work, "
        "'always', or 'never'.",
        "auto",
        UPDATE_MODES,
    )
    max_tokens_per_pass: int | None = option(
        "About the most tokens of a forward pass of an update, padding included: a larger micro-batch takes several "
        "passes. None: one pass.",
        None,
    )
    dynamic_sampling_rounds: int = option(
        "Most further rounds of generation that replace groups whose rewards are all equal (DAPO's dynamic sampling);"
        " 0: none.",
        0,
    )

    def __post_init__(self) -> None:
        _check_numbers(self)
        given = self.generation_batch_size
        try:
            super().__post_init__()
        except ValueError as error:
            if given is None and "divisible by num_generations" in str(error):
                processes = getattr(self, "world_size", None)  # TRL may have failed before it was known
                check_batch(
                    self, processes or int(os.environ.get("WORLD_SIZE", "1"))
                )  # says which field to set to what
            raise
        _check_tags(self.think_tags)
        if self.bad_rows not in BAD_ROWS:
            raise ValueError(f"bad_rows must be one of {BAD_ROWS}, got {self.bad_rows!r}.")
        _check_tool_limits(self)
        _check_updates(self)
        _check_dynamic_sampling(self)
        template_kwargs: Any = self.chat_template_kwargs or {}
        if self.enable_thinking is not None:
            if template_kwargs.get("enable_thinking", self.enable_thinking) != self.enable_thinking:
                raise ValueError(
                    f"enable_thinking={self.enable_thinking} contradicts chat_template_kwargs={template_kwargs}. "
                    "Set the field enable_thinking only; it reaches the chat template."
                )
            self.chat_template_kwargs: dict[str, Any] | str | None = {
                **template_kwargs,
                "enable_thinking": self.enable_thinking,
            }


def check_batch(args: GRPOConfig, num_processes: int) -> None:
    """Raise a `ValueError` with the remedy if `num_generations` does not divide the rollouts of a generation."""
    micro_batch = args.per_device_train_batch_size * num_processes
    steps = args.steps_per_generation or args.gradient_accumulation_steps
    rollouts = micro_batch * steps
    if args.num_generations < 2 or rollouts % args.num_generations == 0:
        return
    field_name = "gradient_accumulation_steps" if steps == args.gradient_accumulation_steps else "steps_per_generation"
    unit = args.num_generations // math.gcd(args.num_generations, micro_batch)
    enough = math.ceil(steps / unit) * unit
    raise ValueError(
        f"The rollouts of a generation must be divisible by num_generations ({args.num_generations}), got {rollouts}: "
        f"per_device_train_batch_size ({args.per_device_train_batch_size}) x {num_processes} "
        f"process{'es' if num_processes > 1 else ''} x {field_name} ({steps}). Set {field_name} to {enough}, which makes "
        f"{micro_batch * enough}."
    )


def is_number(value: Any) -> bool:
    """Whether a value is a number and not a boolean."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_COUNTS = (
    "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps", "steps_per_generation",
    "num_generations", "num_iterations", "max_completion_length",
)  # fmt: skip
_POSITIVE = ("temperature", "num_train_epochs", "logging_steps", "save_steps", "eval_steps")
_NOT_NEGATIVE = (
    "learning_rate", "beta", "epsilon", "epsilon_high", "weight_decay", "max_grad_norm", "seed", "dataloader_num_workers",
)  # fmt: skip
# Allowed numbers, in words and as a test: neither transformers nor TRL checks them.
_NUMBERS: Mapping[str, tuple[str, Callable[[float], bool]]] = {
    **dict.fromkeys(_COUNTS, ("an integer of at least 1", lambda x: x >= 1 and x == int(x))),
    **dict.fromkeys(_NOT_NEGATIVE, ("at least 0", lambda x: x >= 0)),
    **dict.fromkeys(("adam_beta1", "adam_beta2"), ("at least 0 and below 1", lambda x: 0 <= x < 1)),
    **dict.fromkeys(
        _POSITIVE,
        ("greater than 0", lambda x: x > 0),
    ),
    "top_p": ("greater than 0 and at most 1", lambda x: 0 < x <= 1),
    "max_steps": ("an integer of at least 1, or negative for all epochs", lambda x: x == int(x) and x != 0),
}


def _check_numbers(args: GRPOConfig) -> None:
    for name, (words, allows) in _NUMBERS.items():
        value = getattr(args, name, None)
        if value is None:
            continue
        try:
            is_allowed = not isinstance(value, bool) and math.isfinite(float(value)) and allows(float(value))
        except (TypeError, ValueError):
            is_allowed = False
        if not is_allowed:
            raise ValueError(f"{name} must be {words}, got {value!r}.")


def _check_tags(tags: Any) -> None:
    if tags is None:
        return
    pair = isinstance(tags, (list, tuple)) and len(tags) == 2
    if not pair or not all(isinstance(tag, str) and tag.strip() for tag in tags) or tags[0] == tags[1]:
        raise ValueError(
            f"think_tags must be two different, non-empty strings, got {tags!r}. "
            "Example: think_tags=['<think>', '</think>']."
        )


def _check_tool_limits(args: LeanGRPOConfig) -> None:
    timeout = args.tool_timeout
    if timeout is not None and not (is_number(timeout) and 0.0 < timeout < math.inf):
        raise ValueError(
            f"tool_timeout must be a number of seconds greater than 0, or None for no limit, got {timeout}."
        )
    if not isinstance(args.max_tool_result_characters, int) or args.max_tool_result_characters < 1:
        raise ValueError(
            f"max_tool_result_characters must be an integer of at least 1, got {args.max_tool_result_characters}."
        )


def _check_updates(args: LeanGRPOConfig) -> None:
    for name in ("trim_padding", "drop_zero_advantages", "sort_by_length", "share_prefixes"):
        if getattr(args, name) not in UPDATE_MODES:
            raise ValueError(f"{name} must be one of {UPDATE_MODES}, got {getattr(args, name)!r}.")
    most = args.max_tokens_per_pass
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
        raise ValueError(f"max_tokens_per_pass must be a whole number of at least 1, or None, got {most!r}.")
    if most is not None and (reads_whole_micro_batch(args) or args.loss_type not in SPLIT_INDEPENDENT_LOSS_TYPES):
        raise ValueError(
            f"max_tokens_per_pass splits micro-batches, which changes the loss here (loss_type {args.loss_type!r}, an "
            "entropy bonus or an entropy quantile couple their rows). Set max_tokens_per_pass to None."
        )
    if args.drop_zero_advantages == "always" and reads_whole_micro_batch(args):
        raise ValueError(
            "drop_zero_advantages='always' would also leave the rows out of the entropy bonus or the entropy quantile. "
            "Use 'auto', or set entropy_coef=0, use_adaptive_entropy=False and top_entropy_quantile=1."
        )


def _check_dynamic_sampling(args: LeanGRPOConfig) -> None:
    rounds = args.dynamic_sampling_rounds
    if not isinstance(rounds, int) or rounds < 0:
        raise ValueError(f"dynamic_sampling_rounds must be a whole number of at least 0, got {rounds!r}.")
    if rounds and (args.scale_rewards == "batch" or args.multi_objective_aggregation != "sum_then_normalize"):
        raise ValueError(
            "dynamic_sampling_rounds exchanges groups, so the advantages of a group must not depend on the others. Set "
            "scale_rewards to 'group' or 'none' and multi_objective_aggregation to 'sum_then_normalize', or "
            "dynamic_sampling_rounds=0."
        )
