"""[`EGPOConfig`]: the fields that EGPO adds to TRL's [`~trl.GRPOConfig`]."""

import math
from dataclasses import dataclass, field
from typing import Any

from trl import GRPOConfig

from .launch_checks import check_batch

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
            Scale of the entropy bonus, λ in Eq. 5, at least 0. With 0 the trainer is [`~trl.GRPOTrainer`], bit for bit.
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
        enable_thinking (`bool`, *optional*, defaults to `True`):
            Whether the model is to think. Handed to the chat template under the same name, and to the reward, which
            asks for a think block only when this is `True`.
        render_tools (`bool`, *optional*, defaults to `True`):
            Whether each row's own `tools` are handed to the chat template. Set it to `False` where the messages hold
            the functions already, as with the paper's prompt style.
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
    enable_thinking: bool = field(
        default=True,
        metadata={"help": "Whether the model is to think; handed to the chat template and to the reward."},
    )
    render_tools: bool = field(
        default=True,
        metadata={
            "help": "Whether each row's own tools are handed to the chat template. Set it to False where the messages "
            "hold the functions already, as with the paper's prompt style."
        },
    )

    def __post_init__(self) -> None:
        given = self.generation_batch_size
        try:
            super().__post_init__()
        except ValueError:
            if given is None:
                check_batch(self, self.world_size)  # says which field to set to what
            raise
        if not 0.0 <= self.egpo_lambda < math.inf:
            raise ValueError(
                f"egpo_lambda must be a number of at least 0, got {self.egpo_lambda}. Use 0 for plain GRPO."
            )
        if not self.egpo_alpha > 1.0:
            raise ValueError(
                f"egpo_alpha must be greater than 1, got {self.egpo_alpha}: the bonus is clipped at |A| / egpo_alpha, "
                "and a bonus as large as |A| would cancel a negative advantage."
            )
        if self.entropy_level not in ENTROPY_LEVELS:
            raise ValueError(f"entropy_level must be one of {ENTROPY_LEVELS}, got {self.entropy_level!r}.")
        if self.entropy_span not in ENTROPY_SPANS:
            raise ValueError(f"entropy_span must be one of {ENTROPY_SPANS}, got {self.entropy_span!r}.")
        if self.think_tags is not None and (
            len(self.think_tags) != 2 or not all(self.think_tags) or self.think_tags[0] == self.think_tags[1]
        ):
            raise ValueError(
                f"think_tags must be two different, non-empty strings, got {self.think_tags!r}. "
                "Example: think_tags=['<think>', '</think>']."
            )
        template_kwargs: Any = self.chat_template_kwargs or {}
        if template_kwargs.get("enable_thinking", self.enable_thinking) != self.enable_thinking:
            raise ValueError(
                f"enable_thinking={self.enable_thinking} contradicts chat_template_kwargs={template_kwargs}. "
                "Set the field enable_thinking only; it reaches the chat template."
            )
        if not self.enable_thinking and self.entropy_span == "think" and self.egpo_lambda > 0.0:
            raise ValueError(
                "enable_thinking=False leaves no chain of thought whose entropy could enter the advantage. Set "
                "entropy_span='completion' to use the entropy of the whole completion, or egpo_lambda=0 for GRPO."
            )
        self.chat_template_kwargs: dict[str, Any] | str | None = {
            **template_kwargs,
            "enable_thinking": self.enable_thinking,
        }
