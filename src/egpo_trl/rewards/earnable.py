"""Tells whether a row can earn its reward: its own reference is written in the run's syntax and judged.

`reward` is a [`~egpo_trl.rewards.tool_call.ToolCallReward`], which calls these functions.
"""

from collections.abc import Mapping
from typing import Any

from ..rollouts.policy import Policy
from ..tool_calls.bfcl_matching import first_values
from ..tool_calls.calls import parse_reference, parse_tools
from ..tool_calls.completions import text_of

_THOUGHT = "One step at a time."
_TEXT = "That cannot be answered here."


def no_thought(reward: Any, row: Mapping[str, Any], policy: Policy) -> tuple[str, str] | None:
    """Whether a reward requires a think block that nothing asks the model for."""
    if reward.thinking != "required" or reward.reads_reasoning or policy.think_tags is not None:
        return None
    start, prompt = reward.tags[0].rstrip(), row.get("prompt") or ""
    texts = [prompt] if isinstance(prompt, str) else [text_of(message.get("content")) for message in prompt]
    if start in str(policy.tokenizer.chat_template) or any(start in text for text in texts):
        return None
    return "no_think_block", (
        f"the reward requires a think block, and neither the chat template nor the prompt speaks of {start!r}: set the "
        "reward's thinking to 'optional' or 'off', or name think_tags if the model writes them unasked"
    )


def unearnable(reward: Any, row: Mapping[str, Any], reference: Any) -> tuple[str, str] | None:
    """Why a reference, written in the syntax of a bound reward, does not earn 1.0: a reason and words."""
    tools, prompt = row.get("tools"), row.get("prompt")
    plain = reference
    if reward.comparison == "bfcl":
        schemas = parse_tools(tools)
        plain = [
            {"name": one.name, "arguments": first_values(one.arguments, schemas.get(one.name, {}))}
            for one in parse_reference(reference)
        ]
    try:
        text = reward.write(plain, _TEXT, _THOUGHT if reward.thinking == "required" else "")
    except ValueError as error:
        return "malformed_call", f"its own reference cannot be written: {error}"
    cut = reward.inner_end(text)
    if cut is not None:
        return "truncated", f"its own reference cannot be generated: a turn ends at {cut!r}, before {text[-60:]!r}"
    verdict = reward.judge(text, reference, tools, prompt)
    if verdict.score == 1:
        return None
    return verdict.reason, f"its own reference earns nothing: {text[-200:]!r} is judged {verdict.reason!r}"
