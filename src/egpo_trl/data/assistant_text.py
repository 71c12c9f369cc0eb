"""What an assistant message says: calls in any syntax that data sets write them in, or a text without a trace of one.

A call that is not seen becomes a row whose right answer is said to be text, so what looks like a call and cannot be read
as one is an error.
"""

import re
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from ..tool_calls.calls import MAX_CALLS, InvalidJSON, State, ToolCall, call_from_object, load_json
from ..tool_calls.named_calls import read_named_calls
from ..tool_calls.syntaxes.hermes import read_hermes
from ..tool_calls.syntaxes.pythonic import read_literal
from ..tool_calls.thinking import split_completion

_TAGGED = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_GLAIVE = "<functioncall>"
_GLAIVE_CALL = re.compile(r"""\{\s*"name"\s*:\s*"([^"]+)"\s*,\s*"arguments"\s*:\s*'(.*)'\s*\}""", re.DOTALL)
_FENCED = re.compile(r"\A```\w*[ \t]*\n(.*)\n```\Z", re.DOTALL)
_MARKER = re.compile(
    r"</?(?:tool_?calls?|function_?calls?)\b|<function=|<invoke\b|<[|\uff5c]tool|<\|python_tag\|>|\[TOOL_CALLS\]",
    re.IGNORECASE,
)
_NAME_KEY = re.compile(r"""["']name["']\s*:\s*["']([^"'\n]{1,200})["']""")
_ARGUMENTS_KEY = re.compile(r"""["'](?:arguments|parameters)["']\s*:""")
_PYTHONIC = re.compile(r"\b(\w+)\(\s*(?:[)\"'\d{\[]|\w[\w ]*=(?!=))")
_MAX_PLACES = 1000  # in a text that are compared with the names of the functions


def read_assistant(text: str, names: Collection[str]) -> tuple[tuple[ToolCall, ...], str]:
    """
    Calls and text of an assistant message.

    Calls are read in `<tool_call>` tags (JSON or Python literals), behind Glaive's `<functioncall>`, and, where they are
    all of the message but a code fence and call functions of the record, as JSON or as `[f(a=1)]`. A think block in front
    is left out.

    Args:
        text (`str`):
            The message.
        names (`Collection[str]`):
            Names of the functions of the record.

    Returns:
        `tuple`:
            The calls, and the text beside them; without calls, the text.

    Raises:
        ValueError: If the message holds what looks like a call and cannot be read as one.
    """
    said = split_completion(text, "optional")
    if said.reason is not None:
        raise ValueError(f"holds a think block that cannot be read ({said.reason})")
    said_text = said.answer.strip()
    if not said_text:
        raise ValueError("holds nothing behind its think block" if text.strip() else "has no content")
    if "tool_call>" in said_text:
        calls, beside = _tagged(said_text)
    elif _GLAIVE in said_text:
        calls, beside = _glaive(said_text)
    else:
        calls, beside = _whole(said_text, names), ""
    if not calls:
        beside = said_text
    if looks_like_call(beside, names):
        raise ValueError("holds a call, or a piece of one, that cannot be read")
    return calls, beside


def looks_like_call(text: str, names: Collection[str]) -> bool:
    """
    Whether a text holds a call or a piece of one: a tag or token that marks calls, or a function of the record with
    arguments behind it.

    Args:
        text (`str`):
            The text.
        names (`Collection[str]`):
            Names of the functions of the record.

    Returns:
        `bool`:
            `True` if it does.
    """
    if _MARKER.search(text):
        return True
    if _ARGUMENTS_KEY.search(text):
        found = (match[1] for match in islice(_NAME_KEY.finditer(text), _MAX_PLACES))
        if any(name in names for name in found):
            return True
    if "(" not in text or not names:
        return False
    endings = {re.split(r"\W", name)[-1] for name in names}
    places = (match.end(1) for match in _PYTHONIC.finditer(text) if match[1] in endings)
    return any(text.endswith(tuple(names), 0, end) for end in islice(places, _MAX_PLACES))


def _tagged(text: str) -> tuple[tuple[ToolCall, ...], str]:
    answer = read_hermes(text)
    if answer.state is State.CALL:
        return answer.calls, ""
    if not 0 < text.count("<tool_call>") <= MAX_CALLS:
        raise ValueError("holds a call that cannot be read: a tag is missing, or there are too many")
    blocks = _TAGGED.findall(text)
    beside = _TAGGED.sub("", text).strip()
    if not blocks or "tool_call>" in beside:
        raise ValueError("holds a call that cannot be read: a tag is missing")
    return tuple(map(_readable, blocks)), beside


def _glaive(text: str) -> tuple[tuple[ToolCall, ...], str]:
    beside, *blocks = text.split(_GLAIVE, MAX_CALLS + 1)
    if len(blocks) > MAX_CALLS:
        raise ValueError("holds a call that cannot be read: too many calls")
    for end in ("<|endoftext|>", "</functioncall>"):
        blocks = [block.strip().removesuffix(end) for block in blocks]
    return tuple(map(_readable, blocks)), beside.strip()


def _readable(text: str) -> ToolCall:
    try:
        value = _value(text)
        if not isinstance(value, dict) or not {"arguments", "parameters"} & value.keys():
            raise ValueError("a call must have 'name' and 'arguments'")
        return call_of(value)
    except ValueError as error:
        raise ValueError(f"holds a call that cannot be read: {error}") from None


def _value(text: str) -> Any:
    """A call as JSON, as a Python literal, or as Glaive writes it: arguments as JSON between single quotes."""
    try:
        return load_json(text)
    except InvalidJSON as error:
        glaive = _GLAIVE_CALL.fullmatch(text.strip())
        if glaive is not None:
            return {"name": glaive[1], "arguments": load_json(glaive[2])}
        try:
            return read_literal(text.strip())
        except ValueError:
            raise error from None


def _whole(text: str, names: Collection[str]) -> tuple[ToolCall, ...]:
    """Calls that are all of a text; empty for anything else."""
    fenced = _FENCED.match(text)
    body = fenced[1].strip() if fenced else text
    if body.split("(", 1)[0].strip() in names:
        return read_named_calls(f"[{body}]") or ()
    calls = read_written_calls(body) or ()
    unknown = next((call.name for call in calls if call.name not in names), None)
    if unknown is not None:
        raise ValueError(f"holds a call of {unknown[:40]!r}, which is not among the functions")
    return calls


def read_written_calls(text: str) -> tuple[ToolCall, ...] | None:
    """
    Calls that are all of a text, as one JSON object, a JSON list of them, or `[f(a=1)]`.

    Args:
        text (`str`):
            The text.

    Returns:
        `tuple[ToolCall, ...]` or `None`:
            The calls; `None` for a text that is something else.

    Raises:
        ValueError: If it is JSON with the keys of a call and no call.
    """
    text = text.strip()
    if not text.startswith(("[", "{")):
        return None
    try:
        value = load_json(text)
    except InvalidJSON:
        return read_named_calls(text)
    items = value if isinstance(value, list) else [value]
    if not any(map(_is_call, items)):
        return None
    if len(items) > MAX_CALLS:
        raise ValueError(f"has {len(items)} calls, more than {MAX_CALLS}")
    return tuple(map(call_of, items))


def _is_call(value: Any) -> bool:
    function = value.get("function", value) if isinstance(value, dict) else None
    return isinstance(function, dict) and "name" in function and ("arguments" in function or "parameters" in function)


def call_of(value: Any) -> ToolCall:
    """
    A call from its object.

    Args:
        value (`Any`):
            `{"name", "arguments"}`, with or without the wrapper `{"function": …}`. Arguments may stand under `parameters`,
            be a JSON string, or be absent where there are none.

    Returns:
        [`~egpo_trl.tool_calls.calls.ToolCall`]:
            The call.

    Raises:
        ValueError: If it is no such object.
    """
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        value = value["function"]
    if not isinstance(value, Mapping):
        raise ValueError("a call must be an object")
    arguments = value.get("arguments", value.get("parameters"))
    if isinstance(arguments, str):
        arguments = load_json(arguments) if arguments.strip() else {}
    return call_from_object({"name": value.get("name"), "arguments": {} if arguments is None else arguments})
