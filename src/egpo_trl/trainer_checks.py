"""What is checked when an [`EGPOTrainer`] is built: things that would otherwise end a run, or mislead it, later."""

import logging
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from trl.data_utils import is_conversational

from .data.rows import check_rendering, column_names_of, rows_with
from .grpo.tool_rollouts import row_subset
from .runs.launch_checks import check_skipping

if TYPE_CHECKING:
    from .egpo_trainer import EGPOTrainer

logger = logging.getLogger(__name__)


def check_trainer(trainer: "EGPOTrainer", train_dataset: Any, eval_dataset: Any) -> None:
    """
    Check a trainer against its chat template and data sets.

    Args:
        trainer ([`EGPOTrainer`]):
            Trainer, fully built.
        train_dataset ([`~datasets.Dataset`] or [`~datasets.IterableDataset`], *optional*):
            Training rows.
        eval_dataset ([`~datasets.Dataset`], [`~datasets.IterableDataset`] or `dict` of them, *optional*):
            Rows to evaluate on.

    Raises:
        ValueError: If the chat template leaves no chain of thought, ignores tools or refuses a row, if a row names an
            environment or an executed tool that does not exist, or if options ask for what the trainer cannot do.
    """
    _check_thinking(trainer)
    for name, dataset in _named(train_dataset, eval_dataset):
        _check_row_tools(trainer, dataset)
        _check_executed_tools(trainer, name, dataset)
        _check_rows_render(trainer, name, dataset)
    _check_resumption(trainer)
    _check_dynamic_sampling(trainer, train_dataset)
    _check_skipping(trainer)


def _named(train: Any, evaluation: Any) -> Iterator[tuple[str, Any]]:
    """The data sets of a trainer with what to call them."""
    if train is not None:
        yield "train_dataset", train
    if isinstance(evaluation, dict):
        yield from ((f"eval_dataset[{key!r}]", value) for key, value in evaluation.items())
    elif evaluation is not None:
        yield "eval_dataset", evaluation


def _check_thinking(trainer: "EGPOTrainer") -> None:
    """A chat template that closes the think block itself leaves no chain of thought."""
    tags, tokenizer = trainer._think_tags, trainer._tokenizer
    needs_thought = trainer.args.entropy_span == "think" and trainer.args.egpo_lambda > 0
    if tags is None or not needs_thought or trainer._is_vlm or not tokenizer.chat_template:
        return
    prompt = tokenizer.decode(trainer._render([{"role": "user", "content": "?"}], None)["input_ids"][0])
    if prompt.rstrip().endswith(tags.end):
        raise ValueError(
            f"The chat template of {tokenizer.name_or_path!r} closes the think block in the prompt, so there is no chain "
            "of thought. Set enable_thinking=True, entropy_span='completion' or egpo_lambda=0."
        )


def _check_resumption(trainer: "EGPOTrainer") -> None:
    """Rollouts are not saved, so only a run resumed between generations ends where the whole run does."""
    args = trainer.args
    steps = args.steps_per_generation * trainer.num_iterations / args.gradient_accumulation_steps
    if args.save_strategy == "steps" and args.save_steps >= 1 and args.save_steps % max(1, steps):
        logger.warning(
            "save_steps=%s is no multiple of %s, the optimizer steps of one generation: a run resumed from a "
            "checkpoint in between samples anew and ends with other weights than an uninterrupted one.",
            args.save_steps,
            math.ceil(steps),
        )


def _check_dynamic_sampling(trainer: "EGPOTrainer", train_dataset: Any) -> None:
    """Further prompts are taken by their row numbers, and their rollouts exchanged as text."""
    if not trainer.args.dynamic_sampling_rounds:
        return
    if train_dataset is not None and not isinstance(train_dataset, Dataset):
        raise ValueError(
            "dynamic_sampling_rounds takes further prompts from anywhere in the rows, which a stream does not offer. "
            "Load the rows into memory (streaming=False), or set dynamic_sampling_rounds=0."
        )
    if trainer._is_vlm:
        raise ValueError("dynamic_sampling_rounds is for text models only. Set it to 0 for this model.")


def _check_skipping(trainer: "EGPOTrainer") -> None:
    """A step can be left out where no row carries a gradient and the optimizer waits for the trainer."""
    if not trainer.args.skip_dead_updates:
        return
    if not trainer._update_options.drop_zero_advantages:
        raise ValueError(
            "skip_dead_updates needs rows that carry no gradient at all, and here rows without an advantage still do "
            "(beta, an entropy bonus or quantile, a load-balancing loss), or drop_zero_advantages is 'never'. Set "
            "skip_dead_updates=False, or see drop_zero_advantages."
        )
    check_skipping(trainer.args, "zero2" if trainer.is_deepspeed_enabled else "single")


def _check_rows_render(trainer: "EGPOTrainer", name: str, dataset: Any) -> None:
    """Every row of a data set in memory must pass the chat template before training starts."""
    if not isinstance(dataset, Dataset) or trainer._is_vlm or "prompt" not in column_names_of(dataset):
        return
    has_tools = trainer.args.render_tools and "tools" in column_names_of(dataset)

    def render(row: Any) -> None:
        if is_conversational({"prompt": row["prompt"]}):
            (messages,) = trainer._template_messages([row["prompt"]])
            trainer._render(messages, trainer._offered_tools(row) if has_tools else None, tokenize=False)

    check_rendering(dataset, name, render)


def _check_row_tools(trainer: "EGPOTrainer", dataset: Any) -> None:
    """Per-row tools need a chat template that renders them, and executed ones must exist."""
    if not trainer.args.render_tools or "tools" not in column_names_of(dataset):
        return
    if trainer._is_vlm:
        raise ValueError(
            "Per-row `tools` are rendered for text models only. Set render_tools=False and put the functions into the "
            "messages (prompt style 'paper')."
        )
    prompt = [{"role": "user", "content": "?"}]
    parameters = {"type": "object", "properties": {"x": {"type": "string", "description": "x"}}, "required": ["x"]}
    probe = [{"type": "function", "function": {"name": "probe", "description": "Probe.", "parameters": parameters}}]
    if trainer._render(prompt, probe)["input_ids"] == trainer._render(prompt, None)["input_ids"]:
        raise ValueError(
            f"The chat template of {trainer._tokenizer.name_or_path!r} ignores tools, so the model would not see the "
            "row's functions. Use the prompt style 'paper', which writes them into the system message, together with "
            "render_tools=False."
        )


def _check_executed_tools(trainer: "EGPOTrainer", name: str, dataset: Any) -> None:
    """Rows for TRL's tool loop are conversations, and name environments and tools of the trainer only."""
    rollouts = trainer._tool_rollouts
    if rollouts is None or not isinstance(dataset, Dataset):
        return
    columns = column_names_of(dataset)
    kept = [column for column in ("prompt", "environment", "tools") if column in columns]
    for index, row in enumerate(rows_with(dataset, kept)):
        where = f"{name}, row {index}"
        if isinstance(row.get("prompt"), str):
            raise ValueError(f"{where}: executed tools need messages as `prompt`, and this one is a string.")
        try:
            pool = rollouts.pool_of(row)
        except KeyError as error:
            raise ValueError(
                f"{where}: its `environment` is {error}, and the trainer has {sorted(rollouts.pools)}. Name one of them."
            ) from None
        unknown = pool.unknown(row_subset(row) or []) if trainer.args.render_tools else []
        if unknown:
            raise ValueError(
                f"{where}: its `tools` offer {unknown[0]!r}, which the trainer cannot execute. It has "
                f"{sorted(pool.schemas)}. Add the tool to the trainer or drop it from the row; set render_tools=False if "
                "the column is for the reward only."
            )
