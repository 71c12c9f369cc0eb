"""[`EGPOScriptArguments`]: the fields of `egpo-trl train` in addition to those of the trainer and of the model."""

from dataclasses import dataclass

from ..data.options import DemoOrRowsOptions
from ..data.prompts import PROMPT_STYLES
from ..rewards.tool_call import COMPARISONS
from ..tool_calls.completions import SYNTAXES
from ..tool_calls.thinking import THINKING_MODES
from ..utils.options import option

MULTI_TURN_MODES = ("rollouts", "stepwise")


@dataclass(kw_only=True)
class RowsArguments(DemoOrRowsOptions):
    """Rows and output of a training run, the same for `egpo-trl train` and `egpo-trl sft`."""

    prompt_style: str = option(
        "'native': the chat template renders the tools. 'paper': a system message lists them.", "native", PROMPT_STYLES
    )
    overwrite_run: bool = option("Remove the other run that output_dir holds, instead of refusing to start.", False)


@dataclass(kw_only=True)
class EGPOScriptArguments(RowsArguments):
    """Fields of `egpo-trl train` beside those of [`EGPOConfig`] and [`~trl.ModelConfig`]."""

    validation_share: float = option(
        "Share of the rows held out, by prompt. The embedded worlds have a held-out split.", 0.05
    )
    validation_dataset_name: str | None = option(
        "Held-out rows of your own in place of a share, such as `egpo-trl split` writes.", None
    )
    max_validation_rows: int = option("Most held-out rows to use.", 200)
    drop_long_rows: bool = option(
        "Leave out rows whose prompt and completion do not fit into the model's or vLLM's context.", False
    )
    multi_turn: str = option(
        "Rows with a trajectory. 'rollouts': tools are executed and the rollout is judged. 'stepwise': each step of "
        "the reference is a row.",
        "rollouts",
        MULTI_TURN_MODES,
    )
    environments: list[str] | None = option(
        "Environments that rows may name: shipped ones by name, others as package.module:Class. By default "
        "the shipped ones.",
        None,
    )
    tool_call_syntax: str = option(
        "Syntax that the reward reads; 'auto': by chat template and prompt style.", "auto", (*SYNTAXES, "auto")
    )
    comparison: str = option(
        "How the reward compares calls: 'exact', or 'bfcl' with lists of acceptable values.",
        "exact",
        tuple(COMPARISONS),
    )
    thinking: str | None = option(
        "Think block of the reward: 'required', 'optional' or 'off'. Default: required, unless the template switches "
        "thinking off.",
        None,
        THINKING_MODES,
    )
    allow_text: bool = option("Whether the reward allows text beside calls.", False)
    dots_as_underscores: bool = option("Whether a.b and a_b are the same function to the reward.", False)
    max_extra_calls: int | None = option(
        "Calls that a rollout with executed tools may make beyond those of the reference; more earn 0. By "
        "default any number.",
        None,
    )
    report: bool = option(
        "Measure exact match on held-out rows before and after training (one process). For rows with a "
        "trajectory it is the strict success of rollouts.",
        True,
    )
    report_steps: int = option("Steps between measurements of the held-out rows during training; 0 is never.", 0)
    bfcl_eval_steps: int = option(
        "Steps between evaluations on a fixed subset of BFCL, which also run before and after training (one "
        "process); 0 is never.",
        0,
    )
    bfcl_eval_categories: str = option("Categories of BFCL, or groups of them, with commas between.", "single_turn")
    bfcl_eval_max_per_category: int = option("Most entries of each category of BFCL, evenly spaced.", 8)
