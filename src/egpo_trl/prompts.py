"""Prompt styles: how a canonical row becomes the messages that the model sees."""

import json
from collections.abc import Mapping
from typing import Any

PROMPT_STYLES = ("native", "paper")

# Says what the paper's Figure 8 says, in other words.
_PAPER_SYSTEM = """\
You solve requests by calling functions. These are the functions you may call, as a JSON list:
{functions}

Think first, inside {start}{end}. Behind it give the calls, all in one reply and nothing else, in this form:
[func_name1(params_name1=params_value1, params_name2=params_value2), func_name2(params)]
If none of the functions can answer the request, or a required argument is not given, say so in plain text instead."""


def to_messages(
    row: Mapping[str, Any], style: str = "native", think_tags: tuple[str, str] = ("<think>", "</think>")
) -> list[dict[str, Any]]:
    """
    Messages of a row in a prompt style.

    Args:
        row (`Mapping[str, Any]`):
            Canonical row with messages as `prompt`.
        style (`str`, *optional*, defaults to `"native"`):
            `"native"`: the messages as they are; the chat template renders the tools. `"paper"`: a system message that
            lists the functions and asks for thought and pythonic calls (appendix A, Figure 8, in our words), before the
            row's own system message if there is one.
        think_tags (`tuple[str, str]`, *optional*, defaults to `("<think>", "</think>")`):
            Tags that the paper's style asks for.

    Returns:
        `list[dict]`:
            Messages.

    Raises:
        ValueError: If the style is unknown, or the paper's style is asked for a prompt that is rendered already.
    """
    if style not in PROMPT_STYLES:
        raise ValueError(f"prompt_style must be one of {PROMPT_STYLES}, got {style!r}.")
    if style == "native":
        return list(row["prompt"])
    if isinstance(row["prompt"], str):
        raise ValueError("prompt_style 'paper' needs messages, and this prompt is a rendered string.")
    functions = [tool.get("function", tool) for tool in json.loads(row.get("tools") or "[]")]
    system = _PAPER_SYSTEM.format(
        functions=json.dumps(functions, ensure_ascii=False), start=think_tags[0], end=think_tags[1]
    )
    messages = [dict(message) for message in row["prompt"]]
    if messages and messages[0]["role"] == "system":
        system = f"{system}\n\n{messages.pop(0)['content']}"
    return [{"role": "system", "content": system}, *messages]
