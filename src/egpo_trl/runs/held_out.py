"""Measures the model of a run on its held-out rows, and on BFCL while it trains."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .script_arguments import EGPOScriptArguments

if TYPE_CHECKING:
    from datasets import Dataset

    from ..egpo_trainer import EGPOTrainer
    from ..evaluation.bfcl.callback import BFCLCallback


HELD_OUT_FILE = "held_out.jsonl"
_FEWEST_ROWS = 50
_SHADED_ROWS = 32  # held-out rows whose completions are kept with the entropy of each token


def few_rows_warning(count: int) -> list[str]:
    """A note where held-out rows are too few to tell models apart."""
    if count >= _FEWEST_ROWS:
        return []
    return [
        f"{count} held-out rows are few: one row more or less is {100 / max(count, 1):.0f} points. Hold out "
        f"{_FEWEST_ROWS} or more (validation_share, max_validation_rows)."
    ]


def evaluate_held_out(
    trainer: "EGPOTrainer", held_out: "Dataset", environments: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Greedy and sampled scores of the trainer's model on held-out rows, with the entropies of some tokens."""
    from ..evaluation.exact_match import Judged, judge_rows, summarize
    from ..evaluation.rollouts import MAX_TOOL_ROUNDS, judge_rollouts
    from ..evaluation.token_entropy import token_entropies
    from ..rewards.trajectory import TrajectoryReward
    from ..rollouts.tool_guard import ToolLimits
    from ..sampling.generate import render_prompt
    from .rollout_log import kinds_of

    args = trainer.args
    model, tokenizer = trainer.accelerator.unwrap_model(trainer.model), trainer.processing_class
    rendering = {"render_tools": args.render_tools, "chat_template_kwargs": args.chat_template_kwargs}
    rows, reward = list(held_out), trainer.reward_funcs[0]
    judge: Callable[..., list[Judged]]
    if environments is not None:
        if not isinstance(reward, TrajectoryReward):
            reward = TrajectoryReward(environments, reward)
        judge = partial(
            judge_rollouts,
            environments=environments,
            chat_template_kwargs=args.chat_template_kwargs,
            max_completion_length=args.max_completion_length,
            max_tool_rounds=args.max_tool_calling_iterations or MAX_TOOL_ROUNDS,
            limits=ToolLimits(args.tool_timeout, args.max_tool_result_characters),
        )
    else:
        judge = partial(judge_rows, **rendering, max_new_tokens=args.max_completion_length)
    sampling = {"batch_size": max(32, args.per_device_eval_batch_size), "seed": args.seed}
    judged = {
        name: judge(model, tokenizer, rows, reward, temperature=temperature, **sampling)
        for name, temperature in (("greedy", 0.0), ("sampled", args.temperature))
    }
    summary = summarize(judged, "exact match" if environments is None else "strict success")
    for shown, item in zip(summary["greedy"]["completions"][:_SHADED_ROWS], judged["greedy"], strict=False):
        tokens = token_entropies(
            model,
            tokenizer,
            render_prompt(tokenizer, item.row, **rendering),
            item.completion_ids,
            temperature=args.temperature,
            think_tags=args.think_tags,
            tool_mask=item.tool_mask,
        )
        shown["tokens"] = kinds_of(tokens, item.tool_mask)
    return summary


def make_bfcl_callback(script: EGPOScriptArguments, trainer: "EGPOTrainer") -> "BFCLCallback":
    """Evaluation on BFCL while the trainer trains, with the prompts and the completion length of training."""
    from transformers import Trainer

    from ..evaluation.bfcl.callback import BFCLCallback

    if trainer.accelerator.num_processes > 1 or trainer.is_fsdp_enabled:
        raise ValueError(
            "bfcl_eval_steps evaluates in the one process that trains, and several do. Set it to 0, save checkpoints "
            "(save_steps) and evaluate those: egpo-trl evaluate bfcl --model CHECKPOINT --output_dir FOLDER."
        )
    args = trainer.args
    return BFCLCallback(
        script.bfcl_eval_steps,
        log=lambda logs: Trainer.log(trainer, logs),
        suite={"categories": script.bfcl_eval_categories, "max_per_category": script.bfcl_eval_max_per_category},
        sampling={
            "prompt_style": script.prompt_style,
            "think_tags": args.think_tags,
            "chat_template_kwargs": args.chat_template_kwargs,
            "max_completion_length": args.max_completion_length,
            "batch_size": max(32, args.per_device_eval_batch_size),
        },
    )
