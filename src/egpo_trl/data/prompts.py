"""Writes the prompt of a canonical row as messages, in the native style or in the paper's."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..tool_calls.calls import InvalidJSON, ToolCall, load_json
from ..tool_calls.completions import text_of
from ..tool_calls.named_calls import write_calls
from ..tool_calls.native import REASONING_FIELDS

PROMPT_STYLES = ("native", "paper")
DEFAULT_THINK_TAGS = ("<think>", "</think>")

_TEXT_PARTS = ("text", "input_text", "output_text")

# Says what the paper's Figure 8 says, in other words.
_PAPER_SYSTEM = """\
You solve requests by calling functions. These are the functions you may call, as a JSON list:
{functions}

Think first, inside {start}{end}. Then give the calls, all in one reply and nothing else, in this form:
[func_name1(params_name1=params_value1, params_name2=params_value2), func_name2(params)]
If none of the functions can answer the request, or a required argument is not given, say so in plain text instead."""


def to_messages(
    row: Mapping[str, Any], style: str = "native", think_tags: Sequence[str] = DEFAULT_THINK_TAGS
) -> list[dict[str, Any]]:
    """Messages of a row in a prompt style."""
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
    messages = _paper_history(row["prompt"])
    if messages and messages[0]["role"] == "system":
        system = f"{system}\n\n{text_of(messages.pop(0)['content'])}"
    return [{"role": "system", "content": system}, *messages]


def plain_content(content: Any) -> Any:
    """A message's content as one text where all its parts are text; other content as it is."""
    if content is None:
        return ""
    if not isinstance(content, list):
        return content
    is_text = all(
        isinstance(part, Mapping) and part.get("type", "text") in _TEXT_PARTS and isinstance(part.get("text"), str)
        for part in content
    )
    return text_of(content) if is_text else content


def history_call(call: Mapping[str, Any]) -> ToolCall | None:
    """A call of the history, its arguments decoded; `None` if they are not an object."""
    arguments = call["function"].get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = load_json(arguments)
        except InvalidJSON:
            return None
    return ToolCall(call["function"]["name"], arguments) if isinstance(arguments, dict) else None


def _paper_history(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages with calls and results as text; neighbours of one role are one, as many chat templates demand."""
    written: list[dict[str, Any]] = []
    for message in messages:
        role, content = message["role"], plain_content(message.get("content"))
        kept = {name: message[name] for name in REASONING_FIELDS if message.get(name)}
        if role == "tool":  # Qwen's form; most models know it
            role, content = "user", f"<tool_response>\n{text_of(content)}\n</tool_response>"
        calls = message.get("tool_calls") or []
        if calls:
            content = "\n".join(filter(None, (text_of(content), f"[{', '.join(map(_write_history_call, calls))}]")))
        last = written[-1] if written else {}
        if role == last.get("role") and not kept and isinstance(content, str) and isinstance(last["content"], str):
            last["content"] += f"\n{content}"
        else:
            written.append({"role": role, "content": content, **kept})
    return written


def _write_history_call(call: Mapping[str, Any]) -> str:
    read = history_call(call)
    if read is not None:
        return write_calls([read])[1:-1]
    return f"{call['function']['name']}({call['function'].get('arguments') or ''})"  # what a model wrote wrong
