"""[`EGPOScriptArguments`]: the fields of `egpo-trl train` beside those of the trainer and of the model."""

from dataclasses import dataclass, field

from ..data.prompts import PROMPT_STYLES
from ..demo.names import DEMO
from ..rewards.tool_call import COMPARISONS
from ..tool_calls.completions import SYNTAXES
from ..tool_calls.thinking import THINKING_MODES

MULTI_TURN_MODES = ("rollouts", "stepwise")


@dataclass
class RowsArguments:
    """Rows and output of a training run, the same for `egpo-trl train` and `egpo-trl sft`."""

    dataset_name: str = field(
        default=DEMO,
        metadata={
            "help": "Rows: 'demo', 'demo-multiturn', a file (.jsonl, .json, .parquet, .csv), a folder, or a data set on "
            "the Hub."
        },
    )
    dataset_config: str | None = field(default=None, metadata={"help": "Configuration of a data set on the Hub."})
    dataset_split: str = field(default="train", metadata={"help": "Split of the rows."})
    num_demo_rows: int = field(default=4000, metadata={"help": "Rows that an embedded world makes up for training."})
    prompt_style: str = field(
        default="native",
        metadata={
            "help": "'native': the chat template renders the tools. 'paper': a system message lists them.",
            "choices": PROMPT_STYLES,
        },
    )
    overwrite_run: bool = field(
        default=False, metadata={"help": "Remove the other run that output_dir holds, instead of refusing to start."}
    )


@dataclass
class EGPOScriptArguments(RowsArguments):
    """Fields of `egpo-trl train` beside those of [`EGPOConfig`] and [`~trl.ModelConfig`]."""

    validation_share: float = field(
        default=0.05,
        metadata={"help": "Share of the rows held out, by prompt. The embedded worlds have a held-out split."},
    )
    validation_dataset_name: str | None = field(
        default=None,
        metadata={"help": "Held-out rows of your own in place of a share, such as `egpo-trl split` writes."},
    )
    max_validation_rows: int = field(default=200, metadata={"help": "Most held-out rows to use."})
    drop_long_rows: bool = field(
        default=False,
        metadata={"help": "Leave out rows whose prompt and completion do not fit into the model's or vLLM's context."},
    )
    multi_turn: str = field(
        default="rollouts",
        metadata={
            "help": "How rows with a trajectory are trained on. 'rollouts': tools are executed and the whole rollout is "
            "judged. 'stepwise': each step of the reference is a row, with the history as prompt.",
            "choices": MULTI_TURN_MODES,
        },
    )
    environments: list[str] | None = field(
        default=None,
        metadata={
            "help": "Environments that rows may name: shipped ones by name, others as package.module:Class. By default "
            "the shipped ones."
        },
    )
    tool_call_syntax: str = field(
        default="auto",
        metadata={
            "help": "Syntax that the reward reads; 'auto': by chat template and prompt style.",
            "choices": (*SYNTAXES, "auto"),
        },
    )
    comparison: str = field(
        default="exact",
        metadata={
            "help": "How the reward compares calls: 'exact', or 'bfcl' with lists of acceptable values.",
            "choices": tuple(COMPARISONS),
        },
    )
    thinking: str | None = field(
        default=None,
        metadata={
            "help": "Whether the reward wants a think block: 'required', 'optional' or 'off'. By default required, unless "
            "the chat template switches thinking off.",
            "choices": THINKING_MODES,
        },
    )
    allow_text: bool = field(default=False, metadata={"help": "Whether the reward allows text beside calls."})
    dots_as_underscores: bool = field(
        default=False, metadata={"help": "Whether a.b and a_b are the same function to the reward."}
    )
    max_extra_calls: int | None = field(
        default=None,
        metadata={
            "help": "Calls that a rollout with executed tools may make beyond those of the reference; more earn 0. By "
            "default any number."
        },
    )
    report: bool = field(
        default=True,
        metadata={
            "help": "Measure exact match on held-out rows before and after training (one process). For rows with a "
            "trajectory it is the strict success of rollouts."
        },
    )
    report_steps: int = field(
        default=0, metadata={"help": "Steps between measurements of the held-out rows during training; 0 is never."}
    )
    bfcl_eval_steps: int = field(
        default=0,
        metadata={
            "help": "Steps between evaluations on a fixed subset of BFCL, which also run before and after training (one "
            "process); 0 is never."
        },
    )
    bfcl_eval_categories: str = field(
        default="single_turn", metadata={"help": "Categories of BFCL, or groups of them, with commas between."}
    )
    bfcl_eval_per_category: int = field(
        default=8, metadata={"help": "Most entries of each category of BFCL, evenly spaced."}
    )
