"""[`EGPOConfig`]: the fields that EGPO adds to [`LeanGRPOConfig`], and through it to TRL's [`~trl.GRPOConfig`]."""

import math
import os
from dataclasses import dataclass
from typing import Any

from .grpo.config import LeanGRPOConfig, is_number
from .utils.options import option

ENTROPY_LEVELS = ("token", "sequence")
ENTROPY_SPANS = ("think", "completion")
MIN_ALPHA = 1.0 + 1e-4  # float32 has steps of 1e-7 at 1: closer to it, A + |A| / alpha rounds to 0 for A < 0


@dataclass
class EGPOConfig(LeanGRPOConfig):
    r"""
    Configuration class for the [`EGPOTrainer`].

    It adds the entropy-enhanced advantage of EGPO (arXiv 2508.05118, Eq. 5) and keeps TRL's defaults for everything
    else. The paper's own setting (`beta` 0.001, `temperature` 0.7, 8192 completion tokens, …) is a recipe:
    `configs/train/paper_qwen3_4b.yaml`.
    """

    egpo_lambda: float = option(
        "Scale of the entropy bonus (lambda in Eq. 5), at least 0. With 0 the trainer is GRPO.",
        0.4,
    )
    egpo_alpha: float = option(
        "Clip of the entropy bonus (alpha in Eq. 5), at least 1.0001: the bonus is at most |A| / alpha.",
        2.0,
    )
    entropy_level: str = option(
        "'token': each token of the chain of thought gets the bonus of its own entropy. 'sequence': every token gets "
        "that of the mean (Eq. 4 and 5).",
        "token",
        ENTROPY_LEVELS,
    )
    entropy_span: str = option(
        "Tokens whose entropy counts: 'think' (the chain of thought) or 'completion' (all that the policy generated).",
        "think",
        ENTROPY_SPANS,
    )

    project: str = option(
        "Project of the trackers: of Trackio, and of Weights & Biases where WANDB_PROJECT is not set.",
        "egpo-trl",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if "wandb" in (self.report_to or ()):
            os.environ.setdefault("WANDB_PROJECT", self.project)  # the only place where transformers looks
        if not is_number(self.egpo_lambda) or not 0.0 <= self.egpo_lambda < math.inf:
            raise ValueError(
                f"egpo_lambda must be a number of at least 0, got {self.egpo_lambda}. Use 0 for plain GRPO."
            )
        if not is_number(self.egpo_alpha) or not self.egpo_alpha >= MIN_ALPHA:
            raise ValueError(
                f"egpo_alpha must be greater than 1 (at least {MIN_ALPHA}), got {self.egpo_alpha}: the bonus is clipped "
                "at |A| / egpo_alpha, and a bonus as large as |A| would cancel a negative advantage."
            )
        if self.entropy_level not in ENTROPY_LEVELS:
            raise ValueError(f"entropy_level must be one of {ENTROPY_LEVELS}, got {self.entropy_level!r}.")
        if self.entropy_span not in ENTROPY_SPANS:
            raise ValueError(f"entropy_span must be one of {ENTROPY_SPANS}, got {self.entropy_span!r}.")
        template_kwargs: Any = self.chat_template_kwargs or {}
        if template_kwargs.get("enable_thinking") is False and self.entropy_span == "think" and self.egpo_lambda > 0.0:
            raise ValueError(
                "enable_thinking=False leaves no chain of thought whose entropy could enter the advantage. Set "
                "entropy_span='completion' to use the entropy of the whole completion, or egpo_lambda=0 for GRPO."
            )
