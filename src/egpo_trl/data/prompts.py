"""Prompt styles: how a canonical row becomes the messages that the model sees, and back."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ..tool_calls.calls import InvalidJSON, ToolCall, call_from_object, load_json
from ..tool_calls.named_calls import read_named_calls, write_calls

PROMPT_STYLES = ("native", "paper")
# Key of a message of the paper's style whose calls could not be told from its text alone (there is text beside them, ids
# of another form) or whose text only looks like calls: the calls as they were. Chat templates do not see it.
CALLS_IN_CONTENT = "calls_in_content"

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
            row's own system message if there is one; calls in the history are written in the same form, behind the text
            beside them.
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
    messages = _write_history(row["prompt"])
    if messages and messages[0]["role"] == "system":
        system = f"{system}\n\n{messages.pop(0)['content']}"
    return [{"role": "system", "content": system}, *messages]


def from_messages(
    messages: list[dict[str, Any]], style: str = "native", think_tags: tuple[str, str] = ("<think>", "</think>")
) -> dict[str, Any]:
    """
    What [`to_messages`] made messages from.

    Args:
        messages (`list[dict]`):
            Messages in a prompt style.
        style (`str`, *optional*, defaults to `"native"`):
            The style.
        think_tags (`tuple[str, str]`, *optional*, defaults to `("<think>", "</think>")`):
            Tags that the paper's style asked for.

    Returns:
        `dict`:
            The columns of the row that the messages hold: `prompt`, and in the paper's style `tools` (each function in
            the `{"type": "function"}` wrapper). In the native style the chat template renders `tools`, so that the
            messages say nothing of them.

    Raises:
        ValueError: If the style is unknown, or the messages are not in it.
    """
    if style not in PROMPT_STYLES:
        raise ValueError(f"prompt_style must be one of {PROMPT_STYLES}, got {style!r}.")
    if style == "native":
        return {"prompt": list(messages)}
    head, _, tail = _PAPER_SYSTEM.partition("{functions}")
    tail = tail.format(start=think_tags[0], end=think_tags[1])
    system = messages[0].get("content") if messages and messages[0].get("role") == "system" else None
    error = "the first message is not the system message of the prompt style 'paper' with these think tags."
    if not isinstance(system, str) or not system.startswith(head):
        raise ValueError(error)
    try:
        functions, end = json.JSONDecoder().raw_decode(system, len(head))
    except (ValueError, RecursionError):
        raise ValueError(error) from None
    rest = system[end:]
    if not isinstance(functions, list) or not (rest == tail or rest.startswith(f"{tail}\n\n")):
        raise ValueError(error)
    own = [] if rest == tail else [{"role": "system", "content": rest[len(tail) + 2 :]}]
    tools = [{"type": "function", "function": function} for function in functions]
    return {"prompt": own + _read_history(messages[1:]), "tools": json.dumps(tools, ensure_ascii=False)}


def template_messages(messages: list[dict[str, Any]], decode_arguments: bool = True) -> list[dict[str, Any]]:
    """
    Messages as chat templates expect them. Rows hold the arguments of calls as JSON strings, as the chat-completions
    API does, and Arrow gives every message the keys of all others; most templates take objects, and some take a key
    that is there for a value.

    Args:
        messages (`list[dict]`):
            Messages of a row.
        decode_arguments (`bool`, *optional*, defaults to `True`):
            Whether arguments become objects; see [`takes_objects`].

    Returns:
        `list[dict]`:
            The messages without keys that are `None` (but for `content`), and without [`CALLS_IN_CONTENT`].
    """
    return [
        {
            key: _decoded(value) if key == "tool_calls" and decode_arguments else value
            for key, value in message.items()
            if (value is not None and key != CALLS_IN_CONTENT) or key == "content"
        }
        for message in messages
    ]


def takes_objects(render: Callable[[list[dict[str, Any]]], Any]) -> bool:
    """
    Whether a chat template takes the arguments of calls as objects; those of DeepSeek take strings.

    Args:
        render (`Callable`):
            Renders messages with the template.

    Returns:
        `bool`:
            `False` for a template that fails with a `TypeError` on objects.
    """
    call = {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": {"x": "x"}}}
    probe: list[dict[str, Any]] = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    try:
        render(probe)
    except TypeError:
        return False
    except Exception:  # a template may refuse calls altogether, in its own way
        return True
    return True


def _decoded(calls: Any) -> Any:
    if not isinstance(calls, list):
        return calls
    decoded = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            with suppress(InvalidJSON):  # left as it is for the template to judge
                call = {**call, "function": {**function, "arguments": load_json(function["arguments"])}}
        decoded.append(call)
    return decoded


def _write_history(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose calls are text. Calls that a text cannot hold stay as they are."""
    written: list[dict[str, Any]] = []
    number = 0  # of calls so far
    for message in messages:
        given = {key: value for key, value in message.items() if value is not None}  # Arrow's padding
        calls, content = given.get("tool_calls") or [], given.get("content", "")
        text = _written(calls) if calls and isinstance(content, str) else None
        if text is not None and _read_calls(text, number) == {"content": "", **given}:
            written.append({"role": "assistant", "content": text})
        elif text is not None:
            kept = {key: value for key, value in given.items() if key != "tool_calls"}
            beside = f"{content}\n" if content else ""
            written.append({**kept, "content": f"{beside}{text}", CALLS_IN_CONTENT: calls})
        elif not calls and _is_answer(given) and _read_calls(content, 0) is not None:
            written.append({**given, CALLS_IN_CONTENT: []})
        else:
            written.append(given)
        number += len(calls)
    return written


def _read_history(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = []
    number = 0
    for message in messages:
        kept = {key: value for key, value in message.items() if key != CALLS_IN_CONTENT}
        calls = message.get(CALLS_IN_CONTENT)
        if calls:
            kept["content"] = kept["content"].removesuffix(_written(calls) or "").removesuffix("\n")
            kept["tool_calls"] = calls
        elif calls is None and _is_answer(message):
            kept = _read_calls(message["content"], number) or kept
        read.append(kept)
        number += len(kept.get("tool_calls") or [])
    return read


def _is_answer(message: Mapping[str, Any]) -> bool:
    """Whether a message is an assistant's text."""
    is_text = isinstance(message.get("content"), str) and not message.get("tool_calls")
    return message.get("role") == "assistant" and is_text


def _written(calls: list[Any]) -> str | None:
    """Calls of a message as text, `None` where the text would not say the same."""
    try:
        read = tuple(map(_call, calls))
    except (ValueError, KeyError, TypeError):  # not the form of the API
        return None
    text = write_calls(read)
    return text if read_named_calls(text) == read else None


def _call(call: Mapping[str, Any]) -> ToolCall:
    arguments = call["function"]["arguments"]
    return call_from_object(
        {
            "name": call["function"]["name"],
            "arguments": load_json(arguments) if isinstance(arguments, str) else arguments,
        }
    )


def _read_calls(text: str, number: int) -> dict[str, Any] | None:
    """The assistant message with calls that a text stands for, as the converters write it; `None` for other text."""
    calls = read_named_calls(text) if re.match(r"\[[^\[\](){}]+\(", text) else None
    if calls is None:
        return None
    written = [
        {
            "id": f"call_{number + i}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for i, call in enumerate(calls)
    ]
    return {"role": "assistant", "content": "", "tool_calls": written}
