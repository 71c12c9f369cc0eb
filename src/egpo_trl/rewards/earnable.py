"""Tells whether a row can earn its reward: its own reference is written in the run's syntax and judged."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..rollouts.policy import Policy
from ..tool_calls.bfcl_matching import first_values
from ..tool_calls.calls import ToolCall, parse_reference, parse_tools
from ..tool_calls.completions import text_of
from ..tool_calls.named_calls import write_calls

if TYPE_CHECKING:
    from .tool_call import ToolCallReward

_THOUGHT = "One step at a time."
_TEXT = "That cannot be answered here."


def no_thought(reward: "ToolCallReward", row: Mapping[str, Any], policy: Policy) -> tuple[str, str] | None:
    """Whether a reward requires a think block that nothing asks the model for."""
    if reward.thinking != "required" or reward.reads_reasoning or policy.think_tags is not None:
        return None
    start, prompt = reward.think_tags[0], row.get("prompt") or ""
    texts = [prompt] if isinstance(prompt, str) else [text_of(message.get("content")) for message in prompt]
    if start in str(policy.tokenizer.chat_template) or any(start in text for text in texts):
        return None
    return "no_think_block", (
        f"the reward requires a think block, and neither the chat template nor the prompt speaks of {start!r}: set the "
        "reward's thinking to 'optional' or 'off', or name think_tags if the model writes them unasked"
    )


def unearnable(
    reward: "ToolCallReward", row: Mapping[str, Any], reference: Any, policy: Policy
) -> tuple[str, str] | None:
    """Why a reference, written in the syntax of a bound reward, does not earn 1.0: a reason and words."""
    tools, prompt = row.get("tools"), row.get("prompt")
    calls = parse_reference(reference)
    if reward.comparison == "bfcl":
        schemas = parse_tools(tools)
        calls = tuple(ToolCall(one.name, first_values(one.arguments, schemas.get(one.name, {}))) for one in calls)
    text = _write(reward, calls, prompt, policy)
    if text is None:
        return None
    ids = policy.tokenizer(text, add_special_tokens=False)["input_ids"] if reward.syntax == "native" else None
    verdict = reward.judge(text, reference, tools, prompt, ids)
    if verdict.score == 1:
        return None
    return verdict.reason, f"its own reference earns nothing: {text[-200:]!r} is judged {verdict.reason!r}"


def write_answer(calls: Sequence[ToolCall], syntax: str) -> str:
    """Calls in one of the syntaxes that need no tokenizer."""
    if syntax == "pythonic":
        return write_calls(calls)
    objects = [json.dumps(call._asdict(), ensure_ascii=False) for call in calls]
    if syntax == "json":
        return objects[0] if len(objects) == 1 else f"[{', '.join(objects)}]"
    return "\n".join(f"<tool_call>\n{one}\n</tool_call>" for one in objects)


def _write(reward: "ToolCallReward", calls: Sequence[ToolCall], prompt: Any, policy: Policy) -> str | None:
    """The completion that a reward asks for; `None` where nobody can write it."""
    thinks, native = reward.thinking == "required", policy.write_answer if reward.syntax == "native" else None
    if reward.syntax == "native" and native is None:
        return None
    if native is not None and reward.reads_reasoning:
        return native(calls or _TEXT, _THOUGHT if thinks else "")
    start, end = reward.think_tags
    prefilled = reward.think_prefilled
    if prefilled is None:
        prefilled = isinstance(prompt, str) and prompt.rstrip().endswith(start)
    block = f"{'' if prefilled else start}{_THOUGHT}{end}\n" if thinks or prefilled else ""
    if not calls:
        return block + _TEXT
    return block + (write_answer(calls, reward.syntax) if native is None else native(calls, ""))
