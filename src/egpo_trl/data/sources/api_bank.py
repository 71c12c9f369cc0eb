"""API-Bank's training form: `instruction` and `input` with the functions and the dialogue, `output` with the next step."""

import re
from collections.abc import Mapping
from typing import Any

from ...tool_calls.calls import ToolCall
from ...tool_calls.named_calls import read_named_calls
from ..casting import cast_calls
from ..function_text import load_value, read_functions
from ..json_schema import to_tools
from ..records import Unconvertible
from .conversation import Conversation, Row

FIELDS = ("instruction", "input", "output")
_OUTPUTS = ("output", "expected_output")
_LIST = "API descriptions:"
_REQUEST = "API-Request"
_TURN = re.compile(
    r"(?:\A|\n)[ \t]*(User|AI|API-Request|Generate API Request|Generate AI Response|Generate the next response):"
)
_SEARCH = "ToolSearcher"
_CALL = re.compile(r"\[?\s*(\w+)\((.*)\)\s*\]?", re.DOTALL)
_KEY = re.compile(r"(?:\A|,)\s*(\w+)\s*=")
_QUOTED = re.compile(r"(['\"]).*\1", re.DOTALL)


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    instruction = record.get("instruction")
    if not all(isinstance(text, str) for text in (instruction, record.get("input"), _output(record))):
        return None
    named = _REQUEST in str(instruction) or _LIST in str(instruction)
    return "its `instruction` asks for an API-Request" if named else None


def convert_record(record: Mapping[str, Any]) -> list[Row]:
    """The row of the next step of a dialogue; see [`~egpo_trl.data.sources.convert`]. Values get the declared types."""
    output = _output(record)
    for name, text in (*((name, record.get(name)) for name in FIELDS[:2]), ("output", output)):
        if not isinstance(text, str):
            raise Unconvertible(name, "must be a text")
    before, *turns = _TURN.split(record["input"])
    described = f"{record['instruction'].partition(_LIST)[2]}\n{before}"
    conversation = Conversation(_functions(described, turns), "input")
    for position, (speaker, said) in enumerate(zip(turns[::2], turns[1::2], strict=True)):
        said = said.strip()
        if speaker == "User":
            conversation.add_text("user", said, position)
        elif speaker == "AI":
            conversation.add_assistant(said, position)
        elif speaker == _REQUEST:
            request, _, result = said.partition("->")
            _add_request(conversation, request, "input")
            conversation.add_result(result.strip())
        elif said:
            raise Unconvertible("input", f"turn {position} has text after {speaker!r}")
    conversation.field = "output"
    output = str(output).strip()
    if f"{_REQUEST}:" in output or output.startswith("["):
        _add_request(conversation, output.split(f"{_REQUEST}:", 1)[-1].partition("->")[0], "output")
    else:
        conversation.add_assistant(output.removeprefix("AI:").strip())
    return conversation.rows()[-1:]


def _output(record: Mapping[str, Any]) -> Any:
    return next((record[name] for name in _OUTPUTS if record.get(name) is not None), None)


def _add_request(conversation: Conversation, text: str, field: str) -> None:
    text = text.strip()
    calls = read_named_calls(text if text.startswith("[") else f"[{text}]") or _loosely(text, conversation.tools)
    if not calls:
        raise Unconvertible(field, "has an API-Request that cannot be read")
    try:
        conversation.add_calls(cast_calls(calls, conversation.tools))
    except ValueError as error:
        raise Unconvertible(field, str(error)) from None


def _loosely(text: str, tools: list[dict[str, Any]]) -> list[ToolCall]:
    """The call in a request with values that are not quoted, or are lists in quotes; empty where that is not all of it."""
    found = _CALL.fullmatch(text)
    schema = next((tool["function"] for tool in tools if found and tool["function"]["name"] == found[1]), None)
    if found is None or schema is None:
        return []
    before, *pieces = _KEY.split(found[2])
    names, values = pieces[::2], [value.strip() for value in pieces[1::2]]
    declared = schema["parameters"].get("properties", {})
    if before.strip() or len(set(names)) < len(names) or not set(names) <= declared.keys():
        return []
    read = [value[1:-1] if _QUOTED.fullmatch(value) else value for value in values]
    if any("(" in value or ")" in value for value in read):
        return []
    return [ToolCall(found[1], dict(zip(names, read, strict=True)))]


def _functions(described: str, turns: list[str]) -> list[dict[str, Any]]:
    """Functions of a list, and those that a search in the dialogue found."""
    try:
        functions = [*read_functions(described)]
        for said in turns[1::2]:
            request, _, result = said.partition("->")
            if _SEARCH in request and result.strip():
                functions += _found(result)
        return to_tools(list({tool["function"]["name"]: tool for tool in functions}.values()))
    except ValueError as error:
        raise Unconvertible("instruction", f"the functions cannot be read: {error}") from None


def _found(result: str) -> list[dict[str, Any]]:
    """Functions in the result of a search; none where it found none."""
    try:
        value = load_value(result)
        return read_functions(value.get("output", value) if isinstance(value, dict) else value)
    except ValueError:
        return []
