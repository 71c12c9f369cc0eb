"""Tells whether a row can earn its reward: its own reference is written in the run's syntax and judged."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..environments.replay import parse_trajectory
from ..tool_calls.bfcl_matching import first_values
from ..tool_calls.calls import ToolCall, parse_reference, parse_tools
from ..tool_calls.completions import text_of
from ..tool_calls.named_calls import write_calls
from .tool_call import ToolCallReward
from .trajectory import TrajectoryReward

WriteNative = Callable[[Sequence[ToolCall], str], str]  # calls and a thought as the chat template writes them

_THOUGHT = "One step at a time."
_TEXT = "That cannot be answered here."


def unearnable(
    reward: ToolCallReward | TrajectoryReward,
    row: Mapping[str, Any],
    write_native: WriteNative | None = None,
    trust_think_tags: bool = False,
) -> tuple[str, str] | None:
    """
    Why the own reference of a row earns no reward.

    Args:
        reward ([`ToolCallReward`] or [`TrajectoryReward`]):
            Reward, bound to the tokenizer of the run.
        row (`Mapping[str, Any]`):
            Canonical row, or one with a `trajectory`.
        write_native (`Callable`, *optional*):
            Writes calls, and a thought, as the chat template does; without it references in the native syntax are not
            judged.
        trust_think_tags (`bool`, *optional*, defaults to `False`):
            Whether a think block is asked for by other means than the chat template and the messages.

    Returns:
        `tuple[str, str]` or `None`:
            Reason and words; `None` if the reference earns 1.0.
    """
    calls = reward.calls if isinstance(reward, TrajectoryReward) else reward
    if not trust_think_tags and not _asks_for_thought(calls, row["prompt"]):
        return "no_think_block", (
            "the reward requires a think block, and neither the chat template nor the prompt asks for one (set thinking to "
            "'optional' or 'off'; name think_tags if the model thinks unasked)"
        )
    if isinstance(reward, ToolCallReward):
        return _unearnable_step(reward, row, row["reference"], write_native)
    for step in parse_trajectory(row["trajectory"]):  # replayed elsewhere; here only whether its calls can be said
        found = _unearnable_step(calls, row, [call._asdict() for call in step], write_native)
        if found is not None:
            return found
    return None


def _unearnable_step(
    reward: ToolCallReward, row: Mapping[str, Any], reference: Any, write_native: WriteNative | None
) -> tuple[str, str] | None:
    tools, prompt = row.get("tools"), row["prompt"]
    calls = parse_reference(reference)
    if reward.comparison == "bfcl":
        schemas = parse_tools(tools)
        calls = tuple(ToolCall(one.name, first_values(one.arguments, schemas.get(one.name, {}))) for one in calls)
    if calls and reward.syntax == "native" and write_native is None:
        return None
    written = _write(reward, calls, prompt, write_native)
    verdict = reward.judge(written, reference, tools, prompt)
    if verdict.score == 1:
        return None
    return verdict.reason, f"its reference earns no reward: {written[-200:]!r} is judged {verdict.reason!r}"


def write_answer(calls: Sequence[ToolCall], syntax: str) -> str:
    """Calls in one of the syntaxes that need no tokenizer."""
    if syntax == "pythonic":
        return write_calls(calls)
    objects = [json.dumps(call._asdict(), ensure_ascii=False) for call in calls]
    if syntax == "json":
        return objects[0] if len(objects) == 1 else f"[{', '.join(objects)}]"
    return "\n".join(f"<tool_call>\n{one}\n</tool_call>" for one in objects)


def _write(reward: ToolCallReward, calls: Sequence[ToolCall], prompt: Any, write_native: WriteNative | None) -> str:
    thinks = reward.thinking in (None, "required")
    if reward.syntax == "native" and write_native is not None:
        return write_native(calls, _THOUGHT if thinks else "")
    start, end = reward.think_tags
    prefilled = reward.think_prefilled
    if prefilled is None:
        prefilled = isinstance(prompt, str) and prompt.rstrip().endswith(start)
    block = f"{'' if prefilled else start}{_THOUGHT}{end}\n" if thinks or prefilled else ""
    return block + (write_answer(calls, reward.syntax) if calls else _TEXT)


def _asks_for_thought(reward: ToolCallReward, prompt: Any) -> bool:
    if reward.thinking not in (None, "required") or reward.tokenizer is None:
        return True
    if reward.syntax == "native" and reward._reader.reads_reasoning:
        return True  # the response template says how
    start = reward.think_tags[0]
    texts = [prompt] if isinstance(prompt, str) else [text_of(message.get("content")) for message in prompt]
    return start in str(reward.tokenizer.chat_template) or any(start in text for text in texts)
