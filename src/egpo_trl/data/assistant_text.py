"""Reads an assistant message: calls in any syntax that data sets write; an unreadable call is an error, never a text."""

import re
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from ..tool_calls.calls import MAX_CALLS, InvalidJSON, State, ToolCall, call_from_object, load_json
from ..tool_calls.fragments import has_fragment
from ..tool_calls.named_calls import read_named_calls
from ..tool_calls.syntaxes import SYNTAX_BY_NAME
from ..tool_calls.syntaxes.hermes import read_hermes
from ..tool_calls.thinking import split_completion
from .function_text import load_value

# Keys under which data sets write the name and the arguments of a call, the usual ones first.
NAME_KEYS = ("name", "function", "tool", "tool_name", "function_name", "api", "api_name", "action")
ARGUMENT_KEYS = ("arguments", "parameters", "input", "args", "action_input", "tool_input", "params", "kwargs")
_BARE_CALL = {*NAME_KEYS, "id", "type", "index", "call_id", "tool_call_id", "status", "responses", "thought"}

_OPENING = re.compile(r"<(tool_?calls?|function_calls?|call)>", re.IGNORECASE)
_CLOSING = re.compile(r"</(?:tool_?calls?|function_?calls?|call)>", re.IGNORECASE)
_PREFIX = re.compile(r"\[TOOL_CALLS\]|<\|python_tag\|>|<functioncall>")  # all that follows is calls
_STOP = re.compile(r"(?:</s>|<\|eo[mt]_id\|>|<\|im_end\|>|<\|endoftext\|>)\s*\Z")
_GLAIVE_CALL = re.compile(r"""\{\s*"name"\s*:\s*"([^"]+)"\s*,\s*"arguments"\s*:\s*'(.*)'\s*\}""", re.DOTALL)
_ACTION = re.compile(r"^[ \t]*Action[ \t]*:[ \t]*(\S[^\n]*)\n\s*Action[ _]Input[ \t]*:", re.MULTILINE)
_FINAL = re.compile(r"^[ \t]*Final Answer[ \t]*:", re.MULTILINE)
_NAMED_CALLS = re.compile(r"\s*\[\s*[\w.]+\(")  # a list such as `[f(a=1)]`
_CALL_LIST = re.compile(r"\[\s*[^\W\d][^\[\](){}\"'=,]*\((?:(?!\)\s*\]).)*\)\s*\]", re.DOTALL)  # names may hold blanks
_FENCED = re.compile(r"\A```\w*[ \t]*\n(.*)\n```\Z", re.DOTALL)
_ANSWER_TAGS = ("answer", "final", "final_answer")
_MARKER = re.compile(
    r"</?(?:tool_?calls?|function_?calls?|call)>|<(?:tool_?call|function_?call)s?\b|<function=|<invoke\b"
    r"|<[|\uff5c]tool|<\|python_tag\|>|\[TOOL_CALLS\]|✿FUNCTION✿|^[ \t]*Action[ _]Input[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTE = r"""\\{0,3}["']"""  # also in JSON that is text in JSON
_NAMED = rf"{_QUOTE}(?:{'|'.join(NAME_KEYS)}){_QUOTE}\s*:\s*{_QUOTE}([^\"'\n\\]{{1,200}}){_QUOTE}"
_NAME_KEY = re.compile(_NAMED)
_ARGUMENTS_KEY = re.compile(rf"{_QUOTE}(?:{'|'.join(ARGUMENT_KEYS)}){_QUOTE}\s*:")
_CALL_KEYS = (re.compile(rf"{_QUOTE}name{_QUOTE}\s*:"), re.compile(rf"{_QUOTE}arguments{_QUOTE}\s*:"))
_NAME_AND_ARGUMENTS = re.compile(rf"{_NAMED}\s*,\s*{_ARGUMENTS_KEY.pattern}\s*(?:{_QUOTE})?\{{")
_ACTION_LINE = re.compile(
    r"^\W{0,9}(?:action|function|tool|api)(?:[ _](?:name|call))?\W{0,9}?:[ \t]*(\S[^\n]{0,200})$",
    re.IGNORECASE | re.MULTILINE,
)
_PYTHONIC = re.compile(r"\b(\w+)\(\s*(?:[)\"'\d{\[]|\w[\w ]*=(?!=))")
_MAX_PLACES = 1000  # in a text that are compared with the names of the functions


def read_assistant(text: str, names: Collection[str]) -> tuple[tuple[ToolCall, ...], str]:
    """Calls and text of an assistant message, without its thought; raises `ValueError` for a call that cannot be read."""
    said = split_completion(text, "optional")
    if said.reason is not None:
        raise ValueError(f"holds a think block that cannot be read ({said.reason})")
    said_text = _unwrapped(said.answer.strip())
    if not said_text:
        raise ValueError("holds nothing after its think block" if text.strip() else "lacks content")
    try:
        calls, beside = _read(said_text, names)
        if looks_like_call(beside, names) or (not calls and has_fragment(beside, names)):
            raise ValueError("holds a call, or a piece of one, that cannot be read")
    except ValueError:
        calls, beside = _in_a_models_syntax(said_text, names), ""
        if not calls:
            raise
    return calls, beside


def is_thought(text: str) -> bool:
    """Whether a text is a think block and nothing else."""
    said = split_completion(text, "optional")
    return said.reason is None and bool(text.strip()) and not said.answer.strip()


def looks_like_call(text: str, names: Collection[str]) -> bool:
    """Whether a text contains a call or a fragment of one: marks, keys, or a function of the record with arguments."""
    if _MARKER.search(text) or _NAME_AND_ARGUMENTS.search(text) or all(key.search(text) for key in _CALL_KEYS):
        return True
    if _CALL_LIST.fullmatch(text.strip()):
        return True
    found: list[str] = []
    if _ARGUMENTS_KEY.search(text):
        found += [match[1] for match in islice(_NAME_KEY.finditer(text), _MAX_PLACES)]
    if ":" in text:
        found += [match[1].strip() for match in islice(_ACTION_LINE.finditer(text), _MAX_PLACES)]
    if any(name in names for name in found):
        return True
    if "(" not in text or not names:
        return False
    endings = {re.split(r"\W", name)[-1] for name in names}
    places = (match.end(1) for match in _PYTHONIC.finditer(text) if match[1] in endings)
    return any(text.endswith(tuple(names), 0, end) for end in islice(places, _MAX_PLACES))


def _read(text: str, names: Collection[str]) -> tuple[tuple[ToolCall, ...], str]:
    tagged = "<functioncall>" not in text and (_CLOSING.search(text) or _OPENING.search(text))
    if tagged:
        calls, beside = _tagged(text)
    elif _PREFIX.search(text):
        calls, beside = _after_prefix(text)
    elif _ACTION.search(text):
        calls, beside = _react(text)
    else:
        calls, beside = _whole(text, names), ""
    return calls, beside if calls else _final_answer(text)


def _unwrapped(text: str) -> str:
    """What is between `<answer>` tags, or tags of their kind, that end the text; the text before them is a thought."""
    for tag in _ANSWER_TAGS:
        opening, closing = f"<{tag}>", f"</{tag}>"
        if text.endswith(closing) and text.count(opening) == text.count(closing) == 1:
            before, _, inside = text.removesuffix(closing).partition(opening)
            return inside.strip() if not _MARKER.search(before) else text
    return text


def _final_answer(text: str) -> str:
    """The text after `Final Answer:` in a message that thinks first, as ReAct writes it."""
    final = _FINAL.search(text)
    thinks = text.startswith("Thought:") or (final is not None and final.start() == 0)
    return text[final.end() :].strip() or text if final is not None and thinks else text


def _tagged(text: str) -> tuple[tuple[ToolCall, ...], str]:
    answer = read_hermes(text) if "tool_call>" in text else None
    if answer is not None and answer.state is State.CALL:
        return answer.calls, ""
    opened = sum(1 for _ in islice(_OPENING.finditer(text), MAX_CALLS + 1))
    if not 0 < opened <= MAX_CALLS:
        raise ValueError("holds a call that cannot be read: a tag is missing, or there are too many")
    blocks: list[str] = []
    beside: list[str] = []
    position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        closing = re.compile(f"</{opening[1]}>", re.IGNORECASE).search(text, opening.end())
        if closing is None:
            raise ValueError("holds a call that cannot be read: a tag is missing")
        blocks.append(text[opening.end() : closing.start()])
        beside.append(text[position : opening.start()])
        position = closing.end()
    around = "".join([*beside, text[position:]]).strip()
    if _CLOSING.search(around):
        raise ValueError("holds a call that cannot be read: a tag is missing")
    return _all_readable(blocks), around


def _after_prefix(text: str) -> tuple[tuple[ToolCall, ...], str]:
    beside, *blocks = _PREFIX.split(text, MAX_CALLS + 1)
    if len(blocks) > MAX_CALLS:
        raise ValueError("holds a call that cannot be read: too many calls")
    blocks = [_STOP.sub("", block).strip().removesuffix("</functioncall>") for block in blocks]
    return _all_readable(blocks), beside.strip()


def _react(text: str) -> tuple[tuple[ToolCall, ...], str]:
    (found, *more) = islice(_ACTION.finditer(text), 2)
    given = _STOP.sub("", text[found.end() :]).strip()
    if more:
        raise ValueError("holds a call that cannot be read: several actions, with what was seen between them")
    try:
        arguments = load_value(given) if given else {}
    except InvalidJSON as error:
        raise ValueError(f"holds a call that cannot be read: {error}") from None
    if not isinstance(arguments, dict):
        raise ValueError("holds a call that cannot be read: the action's input must be a JSON object")
    return (ToolCall(found[1].strip(), arguments),), text[: found.start()].strip().removeprefix("Thought:").strip()


def _in_a_models_syntax(text: str, names: Collection[str]) -> tuple[ToolCall, ...]:
    """Calls in the syntax of a family of models that marks them, such as Kimi's; empty where there are none."""
    for syntax in SYNTAX_BY_NAME.values():
        if not syntax.is_typed_by_schema and any(mark in text for mark in syntax.marks):
            answer = syntax.read(text, names, True)
            if answer.state is State.CALL:
                return answer.calls
    return ()


def _all_readable(blocks: list[str]) -> tuple[ToolCall, ...]:
    calls = [call for block in blocks for call in _readable(block)]
    if not 0 < len(calls) <= MAX_CALLS:
        raise ValueError(f"holds a call that cannot be read: {len(calls)} calls where 1 to {MAX_CALLS} were expected")
    return tuple(calls)


def _readable(text: str) -> list[ToolCall]:
    """Calls of a block that holds nothing else."""
    named = read_named_calls(text.strip()) if _NAMED_CALLS.match(text) else None
    if named is not None:
        return list(named)
    try:
        value = _value(text)
        calls = value if isinstance(value, list) else [value]
        if not all(isinstance(call, dict) and _holds(call, ARGUMENT_KEYS) for call in map(_inner, calls)):
            raise ValueError("a call must have 'name' and 'arguments'")
        return list(map(call_of, calls))
    except ValueError as error:
        raise ValueError(f"holds a call that cannot be read: {error}") from None


def _inner(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    return function if isinstance(function, dict) else call


def _value(text: str) -> Any:
    """A call as JSON, as a Python literal, or as Glaive writes it: arguments as JSON between single quotes."""
    glaive = _GLAIVE_CALL.fullmatch(text.strip())
    if glaive is not None:
        return {"name": glaive[1], "arguments": load_json(glaive[2].replace("\\'", "'"))}
    return load_value(text)


def _whole(text: str, names: Collection[str]) -> tuple[ToolCall, ...]:
    """The calls of a text that contains nothing else, or no calls."""
    fenced = _FENCED.match(text)
    body = fenced[1].strip() if fenced else text
    if body.split("(", 1)[0].strip() in names:
        return read_named_calls(f"[{body}]") or ()
    calls = read_written_calls(body, names) or ()
    unknown = next((call.name for call in calls if call.name not in names), None)
    if unknown is not None:
        raise ValueError(f"holds a call of {unknown[:40]!r}, which is not among the functions")
    return calls


def read_written_calls(text: str, names: Collection[str] = ()) -> tuple[ToolCall, ...] | None:
    """Calls that are all of a text, as one JSON object, a JSON list of them, or `[f(a=1)]`."""
    text = text.strip()
    if not text.startswith(("[", "{")):
        return None
    try:
        value = load_value(text)
    except InvalidJSON:
        return read_named_calls(text)
    items = value if isinstance(value, list) else [value]
    if not any(_is_call(item, names) for item in items):
        return None
    if len(items) > MAX_CALLS:
        raise ValueError(f"has {len(items)} calls, more than {MAX_CALLS}")
    return tuple(map(call_of, items))


def _is_call(value: Any, names: Collection[str]) -> bool:
    function = _inner(value)
    if not isinstance(function, dict) or not _holds(function, ARGUMENT_KEYS):
        return False
    name = _first_of(function, NAME_KEYS)
    given = ("arguments" in function or "parameters" in function) and "name" in function
    return given or name in names or (isinstance(name, str) and isinstance(_given(function), dict))


def _holds(value: Mapping[str, Any], keys: Collection[str]) -> bool:
    return any(key in value for key in keys)


def _given(value: Mapping[str, Any]) -> Any:
    """The arguments of a call's object."""
    return next((value[key] for key in ARGUMENT_KEYS if value.get(key) is not None), None)


def _first_of(value: Mapping[str, Any], keys: Collection[str]) -> Any:
    """The first value that is a text, else the value of the first key."""
    texts = (value[key] for key in keys if isinstance(value.get(key), str))
    return next(texts, value.get(next(iter(keys))))


def call_of(value: Any) -> ToolCall:
    value = _inner(load_json(value) if isinstance(value, str) else value)
    if not isinstance(value, Mapping):
        raise ValueError("a call must be an object")
    unread = "" if _holds(value, ARGUMENT_KEYS) else next((key for key in value if key not in _BARE_CALL), "")
    if unread:
        raise ValueError(f"a call without 'arguments' has the field {str(unread)[:40]!r}")
    arguments = {} if _given(value) is None else _given(value)
    if isinstance(arguments, str):
        arguments = _value(arguments) if arguments.strip() else {}
    return call_from_object({"name": _first_of(value, NAME_KEYS), "arguments": arguments})
