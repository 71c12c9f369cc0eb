"""Finds out which form of messages a chat template takes, and writes messages in it."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..tool_calls.calls import InvalidJSON, load_json
from .prompts import plain_content

Messages = list[dict[str, Any]]
Render = Callable[[Messages, list[dict[str, Any]] | None], str]

# Forms of the ids of calls: whether an id has it, and the id of the n-th call of a conversation.
_IDS: Mapping[str, tuple[Callable[[str, str], bool], Callable[[str, int], str]]] = {
    "any": (lambda given, _: True, lambda _, n: f"call_{n}"),
    "mistral": (lambda given, _: re.fullmatch("[a-zA-Z0-9]{9}", given) is not None, lambda _, n: f"call{n:05d}"),
    "kimi": (
        lambda given, name: re.fullmatch(rf"functions\.{re.escape(name)}:\d+", given) is not None,
        lambda name, n: f"functions.{name}:{n}",
    ),
}


@dataclass(frozen=True)
class TemplateForm:
    """The form of messages that a chat template takes."""

    objects: bool = True
    ids: str = "any"
    system: bool = True
    parts: bool = False


API_FORM = TemplateForm(objects=False)  # what chat-completions endpoints take


def in_form(messages: Sequence[Mapping[str, Any]], form: TemplateForm = TemplateForm()) -> Messages:
    """Messages in a form, without keys that are `None`: Arrow gives every message the keys of all others."""
    written = [_in_form(message, form) for message in messages]
    if any(message.get("tool_calls") for message in written):
        written = _with_ids(written, form.ids)
    return written if form.system else _without_system(written)


def _in_form(message: Mapping[str, Any], form: TemplateForm) -> dict[str, Any]:
    written = {key: value for key, value in message.items() if value is not None and key != "tool_calls"}
    content = plain_content(message.get("content"))
    if form.parts and isinstance(content, str):
        content = [{"type": "text", "text": content}]
    elif isinstance(content, list):  # images and the like, with Arrow's padding
        content = [
            {key: value for key, value in part.items() if value is not None} if isinstance(part, Mapping) else part
            for part in content
        ]
    written["content"] = content
    calls = message.get("tool_calls")
    if calls:
        written["tool_calls"] = [_call_in_form(call, form.objects) for call in calls]
    return written


def _call_in_form(call: Mapping[str, Any], objects: bool) -> dict[str, Any]:
    function = call["function"]
    arguments = function.get("arguments")
    if arguments is None:
        arguments = {}
    if objects and isinstance(arguments, str):
        with suppress(InvalidJSON):  # left as it is for the template to judge
            arguments = load_json(arguments)
    elif not objects and not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    kept = {key: value for key, value in call.items() if value is not None}
    return {"type": "function", **kept, "function": {**function, "arguments": arguments}}


def _with_ids(messages: Messages, ids: str) -> Messages:
    """Messages in which every call has an id of a form, and every result that of its call."""
    is_valid, make = _IDS[ids]
    number = 0
    unanswered: list[tuple[Any, Any, str]] = []  # id of a call in the row, name, id that is written
    for message in messages:
        for call in message.get("tool_calls") or ():
            given, name = call.get("id"), call["function"]["name"]
            if not given or not is_valid(str(given), name):
                call["id"] = make(name, number)
            unanswered.append((given, name, call["id"]))
            number += 1
        if message["role"] == "tool" and unanswered:
            given, name = message.get("tool_call_id"), message.get("name")
            same = [at for at, one in enumerate(unanswered) if given and one[0] == given]
            same = same or [at for at, one in enumerate(unanswered) if not given and name and one[1] == name]
            if same or not given:
                message["tool_call_id"] = unanswered.pop(same[0] if same else 0)[2]
    return messages


def _without_system(messages: Messages) -> Messages:
    system = [message["content"] for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    at = next((at for at, message in enumerate(rest) if message["role"] == "user"), None)
    if not system or not all(isinstance(text, str) for text in system):
        return messages
    if at is None or not isinstance(rest[at]["content"], str):
        return [{"role": "user", "content": "\n\n".join(system)}, *rest]
    text = "\n\n".join([*system, rest[at]["content"]])
    return [*rest[:at], {**rest[at], "content": text}, *rest[at + 1 :]]


_TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool",
        "description": "Probe.",
        "parameters": {
            "type": "object",
            "properties": {"probe_key": {"type": "string", "description": "Probe."}},
            "required": ["probe_key"],
        },
    },
}


def shows_tools(render: Render) -> bool:
    """Whether a chat template renders the functions that it is given."""
    return "probe_tool" in _attempt(render, [{"role": "user", "content": "?"}], [_TOOL])


def find_form(render: Render) -> TemplateForm:
    """The form that a chat template takes, found by rendering probes."""
    user = {"role": "user", "content": "probe_user"}
    parts = "probe_user" not in _attempt(render, [user]) and "probe_user" in _attempt(
        render, in_form([user], TemplateForm(parts=True))
    )
    with_system = in_form([{"role": "system", "content": "probe_system"}, user], TemplateForm(parts=parts))
    shown = _attempt(render, with_system)
    system = "probe_system" in shown and "probe_user" in shown
    call = {"function": {"name": "probe_tool", "arguments": {"probe_key": "probe_value"}}}
    history: Messages = [
        user,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "probe_result"},
    ]
    for tools in ([_TOOL], None):  # a template may look for the function, or refuse functions
        blank = _attempt(render, in_form([user], TemplateForm(parts=parts)), tools)
        for ids in _IDS:
            for objects in (True, False):
                form = TemplateForm(objects, ids, system, parts)
                text = _attempt(render, in_form(history, form), tools)
                named = text.count("probe_tool") > blank.count("probe_tool")
                mangled = '\\"probe_key' in text or "{'probe_key'" in text
                if named and "probe_value" in text and not mangled:
                    return form
    return TemplateForm(system=system, parts=parts)  # it does not show calls


def _attempt(render: Render, messages: Messages, tools: list[dict[str, Any]] | None = None) -> str:
    try:
        return render(messages, tools)
    except Exception:  # templates raise errors of any kind
        return ""
