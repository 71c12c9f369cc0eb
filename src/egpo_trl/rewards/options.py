"""Defines the options that say how an answer is judged, in training and in evaluation."""

from dataclasses import dataclass

from ..tool_calls.completions import SYNTAXES
from ..tool_calls.thinking import THINKING_MODES
from ..utils.options import option
from .tool_call import COMPARISONS, ToolCallReward


@dataclass(kw_only=True)
class RewardOptions:
    """How the reward judges an answer."""

    tool_call_syntax: str = option(
        "Syntax that the reward reads; 'auto': by chat template and prompt style.", "auto", (*SYNTAXES, "auto")
    )
    comparison: str = option(
        "How calls are compared: 'exact', or 'bfcl' with lists of acceptable values.", "exact", tuple(COMPARISONS)
    )
    thinking: str | None = option(
        "Think block: 'required', 'optional' or 'off'. Default: required, unless the template switches thinking off.",
        None,
        THINKING_MODES,
    )
    allow_text: bool = option("Whether text may accompany calls.", False)
    dots_as_underscores: bool = option("Whether a.b and a_b are the same function.", False)

    def tool_call_reward(self, prompt_style: str, think_tags: tuple[str, str] | None = None) -> ToolCallReward:
        """The reward for answers to prompts of a style."""
        is_paper = self.tool_call_syntax == "auto" and prompt_style == "paper"
        return ToolCallReward(
            syntax="pythonic" if is_paper else self.tool_call_syntax,
            comparison=self.comparison,
            thinking=self.thinking,
            think_tags=think_tags,
            allow_text=self.allow_text,
            dots_as_underscores=self.dots_as_underscores,
        )
