"""[`EGPOScriptArguments`]: what `egpo-trl train` takes beside the fields of the trainer and of the model."""

from dataclasses import dataclass, field

from ..data.loading import DEMO
from ..data.prompts import PROMPT_STYLES
from ..rewards.tool_call import COMPARISONS
from ..tool_calls.completions import SYNTAXES

MULTI_TURN_MODES = ("rollouts", "stepwise")


@dataclass
class EGPOScriptArguments:
    """
    Arguments of `egpo-trl train` beside those of [`EGPOConfig`] and [`~trl.ModelConfig`].

    Args:
        dataset_name (`str`, *optional*, defaults to `"demo"`):
            Rows to train on: `"demo"` for the embedded tool world, `"demo-multiturn"` for its multi-turn sister, a file
            (`.jsonl`, `.json`, `.parquet`, `.csv`), a folder, or a data set on the Hub, with `prompt`, `tools` and
            `reference` columns.
        dataset_config (`str`, *optional*):
            Configuration of a data set on the Hub.
        dataset_train_split (`str`, *optional*, defaults to `"train"`):
            Split to train on.
        validation_share (`float`, *optional*, defaults to `0.05`):
            Share of the rows held out, by prompt. The embedded worlds have a held-out split of their own.
        max_validation_rows (`int`, *optional*, defaults to `200`):
            Most held-out rows to use.
        num_demo_rows (`int`, *optional*, defaults to `4000`):
            Rows that an embedded world makes up for training.
        multi_turn (`str`, *optional*, defaults to `"rollouts"`):
            How rows with a `trajectory` are trained on. `"rollouts"`: the policy calls the tools of the row's
            environment, and the whole rollout is judged. `"stepwise"`: each step of the reference is a row, with the
            history as prompt. Rows without a `trajectory` are not concerned.
        environments (`list[str]`, *optional*):
            Environments that rows may name: shipped ones by name, others as `package.module:Class`. By default the
            shipped ones.
        prompt_style (`str`, *optional*, defaults to `"native"`):
            `"native"`: the model's chat template renders the tools. `"paper"`: a system message lists them and asks for
            pythonic calls; `render_tools` is then switched off.
        tool_call_syntax (`str`, *optional*, defaults to `"auto"`):
            Syntax that the reward reads: `"hermes"`, `"pythonic"`, `"json"`, `"native"`, or `"auto"`, by chat template
            and prompt style.
        comparison (`str`, *optional*, defaults to `"exact"`):
            How the reward compares calls: `"exact"`, or `"bfcl"` with lists of acceptable values in the reference.
        allow_text (`bool`, *optional*, defaults to `False`):
            Whether the reward allows text beside calls.
        dots_as_underscores (`bool`, *optional*, defaults to `False`):
            Whether `a.b` and `a_b` are the same function to the reward.
        report (`bool`, *optional*, defaults to `True`):
            Whether to measure exact match on the held-out rows before and after training, on one process and with
            models that one process holds. For rows with a `trajectory` it is the strict success of rollouts.
        bfcl_eval_steps (`int`, *optional*, defaults to `0`):
            Steps between evaluations on a fixed subset of BFCL, which also run before and after training; 0 is never. On
            one process and with models that one process holds.
        bfcl_eval_categories (`str`, *optional*, defaults to `"single_turn"`):
            Categories of BFCL, or groups of them, with commas between.
        bfcl_eval_per_category (`int`, *optional*, defaults to `8`):
            Most entries of each category, evenly spaced.
    """

    dataset_name: str = field(
        default=DEMO,
        metadata={
            "help": "'demo', 'demo-multiturn', a file (.jsonl, .json, .parquet, .csv), a folder, or a data set on the Hub."
        },
    )
    dataset_config: str | None = field(default=None, metadata={"help": "Configuration of a data set on the Hub."})
    dataset_train_split: str = field(default="train", metadata={"help": "Split to train on."})
    validation_share: float = field(default=0.05, metadata={"help": "Share of the rows held out, by prompt."})
    max_validation_rows: int = field(default=200, metadata={"help": "Most held-out rows to use."})
    num_demo_rows: int = field(default=4000, metadata={"help": "Rows that an embedded world makes up for training."})
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
    prompt_style: str = field(
        default="native",
        metadata={
            "help": "'native': the chat template renders the tools. 'paper': a system message lists them.",
            "choices": PROMPT_STYLES,
        },
    )
    tool_call_syntax: str = field(
        default="auto",
        metadata={"help": "Syntax that the reward reads.", "choices": (*SYNTAXES, "auto")},
    )
    comparison: str = field(
        default="exact",
        metadata={
            "help": "How the reward compares calls: 'exact', or 'bfcl' with lists of acceptable values.",
            "choices": tuple(COMPARISONS),
        },
    )
    allow_text: bool = field(default=False, metadata={"help": "Whether the reward allows text beside calls."})
    dots_as_underscores: bool = field(
        default=False, metadata={"help": "Whether a.b and a_b are the same function to the reward."}
    )
    report: bool = field(
        default=True, metadata={"help": "Measure exact match on held-out rows before and after training."}
    )
    report_steps: int = field(
        default=0, metadata={"help": "Steps between measurements of the held-out rows during training; 0 is never."}
    )
    bfcl_eval_steps: int = field(
        default=0, metadata={"help": "Steps between evaluations on a fixed subset of BFCL; 0 is never."}
    )
    bfcl_eval_categories: str = field(
        default="single_turn", metadata={"help": "Categories of BFCL, or groups of them, with commas between."}
    )
    bfcl_eval_per_category: int = field(default=8, metadata={"help": "Most entries of each category of BFCL."})
