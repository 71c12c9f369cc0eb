"""[`EGPOConfig`]: the fields that EGPO adds to TRL's [`~trl.GRPOConfig`]."""

import math
from dataclasses import dataclass, field
from typing import Any

from trl import GRPOConfig

from .grpo.update_options import UPDATE_MODES, reads_whole_micro_batch
from .runs.launch_checks import check_batch

ENTROPY_LEVELS = ("token", "sequence")
ENTROPY_SPANS = ("think", "completion")


@dataclass
class EGPOConfig(GRPOConfig):
    r"""
    Configuration class for the [`EGPOTrainer`].

    [`EGPOConfig`] inherits every parameter from [`~trl.GRPOConfig`] and adds the entropy-enhanced advantage of EGPO
    (arXiv 2508.05118, Eq. 5). It keeps TRL's defaults for everything else: the paper's own setting (`beta` 0.001,
    `temperature` 0.7, 8192 completion tokens, …) is a recipe, `configs/train/paper_qwen3_4b.yaml`.

    Parameters:
        egpo_lambda (`float`, *optional*, defaults to `0.4`):
            Scale of the entropy bonus, λ in Eq. 5, at least 0. With 0 the trainer is [`~trl.GRPOTrainer`]: bit for bit
            with `trim_padding`, `drop_zero_advantages` and `sort_by_length` at `"never"`, and up to floating-point
            rounding with their default `"auto"`.
        egpo_alpha (`float`, *optional*, defaults to `2.0`):
            Clip of the entropy bonus, α in Eq. 5, greater than 1: the bonus is at most `|A| / egpo_alpha`.
        entropy_level (`str`, *optional*, defaults to `"token"`):
            `"token"`: every chain-of-thought token gets the bonus of its own entropy; other tokens keep their
            advantage. `"sequence"`: every token of a rollout gets the bonus of the mean entropy of its chain of
            thought, as in the paper's Eq. 4 and 5.
        entropy_span (`str`, *optional*, defaults to `"think"`):
            Tokens whose entropy counts: `"think"`, the chain of thought, or `"completion"`, every token that the
            policy generated (an ablation, and the choice for models that do not think).
        think_tags (`list[str]`, *optional*):
            Opening and closing tag of the chain of thought. By default they are read off the tokenizer and its chat
            template; name them where only your prompt asks for them (Llama-3.2, SmolLM2).
        enable_thinking (`bool`, *optional*):
            Whether the model is to think, handed to the chat template under the same name. By default nothing is handed
            over, and the template's own default holds. The reward asks for a think block unless thinking is off.
        render_tools (`bool`, *optional*, defaults to `True`):
            Whether each row's own `tools` are handed to the chat template, and are the ones of the executed tools that
            the row can call. Set it to `False` where the messages hold the functions already, as with the paper's
            prompt style, or where every row is to see all executed tools.
        tool_timeout (`float`, *optional*, defaults to `30.0`):
            Seconds that a call of an executed tool may take. A call runs in a thread of its own, which goes on when the
            time is over; the model gets an error. `None`: no limit, and calls run in the trainer's thread, as tools
            need that are bound to it (SQLite connections, for instance).
        max_tool_result_characters (`int`, *optional*, defaults to `8192`):
            Characters of a tool's result that the model sees; the rest is cut off with a note. A rollout whose result
            does not fit into `max_completion_length` ends before it.
        trim_padding (`str`, *optional*, defaults to `"auto"`):
            Whether a forward pass leaves out the columns in which all its rows are padding. `"auto"`: completions where
            the rotary embeddings do not read the length of the batch, and prompts where the model sees relative
            positions only (the same, in full or sliding attention). `"always"`: both, of every model. `"never"`: the
            padding of [`~trl.GRPOTrainer`].
        drop_zero_advantages (`str`, *optional*, defaults to `"auto"`):
            Whether rows with an advantage of exactly 0 are left out of the forward and backward pass of the loss.
            `"auto"`: where nothing else gives them a gradient (`beta` is 0, no entropy bonus, no entropy quantile, no
            load-balancing loss). `"always"`: with `beta` > 0 too. That changes the objective: such rows are no longer
            held to the reference model. `"never"`: all rows are computed.
        sort_by_length (`str`, *optional*, defaults to `"auto"`):
            Whether the rows of one optimizer step are sorted by length into its micro-batches, computed rows spread
            evenly. `"auto"`: where the gradient does not depend on the split (every `loss_type` but `"bnpo"`, no
            entropy bonus, no entropy quantile, no load-balancing loss). `"always"`: everywhere, which changes the
            weights of tokens in those cases. `"never"`: the order of [`~trl.GRPOTrainer`].
        dynamic_sampling_rounds (`int`, *optional*, defaults to `0`):
            Most further rounds of generation that replace groups without a gradient (all rewards equal) by groups of
            other prompts, DAPO's dynamic sampling. A round samples as many prompts as there are such groups, from a
            random order of the training rows. With 0 the batch stays as it was sampled.
        skip_dead_updates (`bool`, *optional*, defaults to `False`):
            Whether the optimizer leaves out a step in which no row of any process carries a gradient. Otherwise its
            momentum and weight decay still move the weights, as in [`~trl.GRPOTrainer`]. The learning rate schedule
            goes on.
    """

    egpo_lambda: float = field(
        default=0.4,
        metadata={"help": "Scale of the entropy bonus (lambda in Eq. 5), at least 0. With 0 the trainer is GRPO."},
    )
    egpo_alpha: float = field(
        default=2.0,
        metadata={"help": "Clip of the entropy bonus (alpha in Eq. 5), greater than 1: bonus <= |A| / alpha."},
    )
    entropy_level: str = field(
        default="token",
        metadata={
            "help": "'token': each chain-of-thought token gets the bonus of its own entropy. 'sequence': every token "
            "of a rollout gets the bonus of the mean entropy of its chain of thought (Eq. 4 and 5 of the paper).",
            "choices": ENTROPY_LEVELS,
        },
    )
    entropy_span: str = field(
        default="think",
        metadata={
            "help": "Tokens whose entropy counts: 'think' (the chain of thought) or 'completion' (every token that "
            "the policy generated, for ablation or for models that do not think).",
            "choices": ENTROPY_SPANS,
        },
    )
    think_tags: list[str] | None = field(
        default=None,
        metadata={
            "help": "Opening and closing tag of the chain of thought, e.g. '<think>' '</think>'. By default they are "
            "read off the tokenizer and its chat template."
        },
    )
    enable_thinking: bool | None = field(
        default=None,
        metadata={"help": "Whether the model is to think, handed to the chat template; by default its own default."},
    )
    render_tools: bool = field(
        default=True,
        metadata={
            "help": "Whether each row's own tools are handed to the chat template. Set it to False where the messages "
            "hold the functions already, as with the paper's prompt style."
        },
    )
    tool_timeout: float | None = field(
        default=30.0,
        metadata={
            "help": "Seconds that a call of an executed tool may take, in a thread of its own. None: no limit, and calls "
            "run in the trainer's thread."
        },
    )
    max_tool_result_characters: int = field(
        default=8192,
        metadata={"help": "Characters of a tool's result that the model sees; the rest is cut off with a note."},
    )
    trim_padding: str = field(
        default="auto",
        metadata={
            "help": "Leave out columns in which all rows of a forward pass are padding. 'auto': where the model does "
            "not read the length, and prompts only where it sees relative positions. 'always': prompts of every model "
            "too. 'never': off.",
            "choices": UPDATE_MODES,
        },
    )
    drop_zero_advantages: str = field(
        default="auto",
        metadata={
            "help": "Leave rows with an advantage of exactly 0 out of the loss pass. 'auto': where nothing else gives "
            "them a gradient. 'always': with beta > 0 too, where they lose their KL term (a change of objective). "
            "'never': off.",
            "choices": UPDATE_MODES,
        },
    )
    sort_by_length: str = field(
        default="auto",
        metadata={
            "help": "Sort the rows of an optimizer step by length into its micro-batches. 'auto': where the gradient "
            "does not depend on the split. 'always': everywhere. 'never': off.",
            "choices": UPDATE_MODES,
        },
    )
    dynamic_sampling_rounds: int = field(
        default=0,
        metadata={
            "help": "Most further rounds of generation that replace groups without a gradient by groups of other "
            "prompts (DAPO's dynamic sampling)."
        },
    )
    skip_dead_updates: bool = field(
        default=False,
        metadata={"help": "Leave out an optimizer step in which no row of any process carries a gradient."},
    )

    def __post_init__(self) -> None:
        given = self.generation_batch_size
        try:
            super().__post_init__()
        except ValueError:
            if given is None:
                check_batch(self, self.world_size)  # says which field to set to what
            raise
        if not _is_number(self.egpo_lambda) or not 0.0 <= self.egpo_lambda < math.inf:
            raise ValueError(
                f"egpo_lambda must be a number of at least 0, got {self.egpo_lambda}. Use 0 for plain GRPO."
            )
        if not _is_number(self.egpo_alpha) or not self.egpo_alpha > 1.0:
            raise ValueError(
                f"egpo_alpha must be greater than 1, got {self.egpo_alpha}: the bonus is clipped at |A| / egpo_alpha, "
                "and a bonus as large as |A| would cancel a negative advantage."
            )
        if self.entropy_level not in ENTROPY_LEVELS:
            raise ValueError(f"entropy_level must be one of {ENTROPY_LEVELS}, got {self.entropy_level!r}.")
        if self.entropy_span not in ENTROPY_SPANS:
            raise ValueError(f"entropy_span must be one of {ENTROPY_SPANS}, got {self.entropy_span!r}.")
        if self.think_tags is not None and not _are_tags(self.think_tags):
            raise ValueError(
                f"think_tags must be two different, non-empty strings, got {self.think_tags!r}. "
                "Example: think_tags=['<think>', '</think>']."
            )
        if self.tool_timeout is not None and not (
            _is_number(self.tool_timeout) and 0.0 < self.tool_timeout < math.inf
        ):
            raise ValueError(
                f"tool_timeout must be a number of seconds greater than 0, or None for no limit, got {self.tool_timeout}."
            )
        if not isinstance(self.max_tool_result_characters, int) or self.max_tool_result_characters < 1:
            raise ValueError(
                f"max_tool_result_characters must be an integer of at least 1, got {self.max_tool_result_characters}."
            )
        for name in ("trim_padding", "drop_zero_advantages", "sort_by_length"):
            if getattr(self, name) not in UPDATE_MODES:
                raise ValueError(f"{name} must be one of {UPDATE_MODES}, got {getattr(self, name)!r}.")
        if self.drop_zero_advantages == "always" and reads_whole_micro_batch(self):
            raise ValueError(
                "drop_zero_advantages='always' would also leave the rows out of the entropy bonus or the entropy "
                "quantile. Use 'auto', or set entropy_coef=0, use_adaptive_entropy=False and top_entropy_quantile=1."
            )
        if not isinstance(self.dynamic_sampling_rounds, int) or self.dynamic_sampling_rounds < 0:
            raise ValueError(
                f"dynamic_sampling_rounds must be a whole number of at least 0, got {self.dynamic_sampling_rounds!r}."
            )
        if self.dynamic_sampling_rounds and (
            self.scale_rewards == "batch" or self.multi_objective_aggregation != "sum_then_normalize"
        ):
            raise ValueError(
                "dynamic_sampling_rounds exchanges groups, so the advantages of a group must not depend on the others. "
                "Set scale_rewards to 'group' or 'none' and multi_objective_aggregation to 'sum_then_normalize', or "
                "dynamic_sampling_rounds=0."
            )
        if self.skip_dead_updates and self.fp16 and not self.max_grad_norm:
            raise ValueError(
                "skip_dead_updates with fp16 needs max_grad_norm > 0: the loss scaler takes no step without gradients "
                "that it has not seen."
            )
        template_kwargs: Any = self.chat_template_kwargs or {}
        asked = template_kwargs.get("enable_thinking", self.enable_thinking)
        if self.enable_thinking is not None and asked != self.enable_thinking:
            raise ValueError(
                f"enable_thinking={self.enable_thinking} contradicts chat_template_kwargs={template_kwargs}. "
                "Set the field enable_thinking only; it reaches the chat template."
            )
        if asked is False and self.entropy_span == "think" and self.egpo_lambda > 0.0:
            raise ValueError(
                "enable_thinking=False leaves no chain of thought whose entropy could enter the advantage. Set "
                "entropy_span='completion' to use the entropy of the whole completion, or egpo_lambda=0 for GRPO."
            )
        if self.enable_thinking is not None:
            self.chat_template_kwargs: dict[str, Any] | str | None = {
                **template_kwargs,
                "enable_thinking": self.enable_thinking,
            }


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _are_tags(value: Any) -> bool:
    """Whether a value is a pair of different strings, neither of them blank."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    return all(isinstance(tag, str) and tag.strip() for tag in value) and value[0] != value[1]
