"""API-Bank's training form: `instruction` with the functions, `input` with the dialogue, `output` with the next step."""

import re
from collections.abc import Mapping
from typing import Any

from ...tool_calls.named_calls import read_named_calls
from ..casting import cast_calls
from ..function_text import read_functions
from ..json_schema import to_tools
from ..records import Unconvertible
from .conversation import Conversation, Row

FIELDS = ("instruction", "input", "output")
_LIST = "API descriptions:"
_TURN = re.compile(
    r"(?:\A|\n)[ \t]*(User|AI|API-Request|Generate API Request|Generate AI Response|Generate the next response):"
)
_SEARCHED = re.compile(r"""["']output["']\s*:\s*(\{.*\})\s*,\s*["']exception["']""", re.DOTALL)
_SEARCH = "ToolSearcher"


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    texts = [record.get(name) for name in FIELDS]
    if not all(isinstance(text, str) for text in texts):
        return None
    named = "API-Request" in str(texts[0]) or _LIST in str(texts[0])
    return "its `instruction` asks for an API-Request" if named else None


def convert_record(record: Mapping[str, Any]) -> list[Row]:
    """The row of the next step of a dialogue; see [`~egpo_trl.data.sources.convert`]. Values get the declared types."""
    for name in FIELDS:
        if not isinstance(record.get(name), str):
            raise Unconvertible(name, "must be a text")
    conversation = Conversation(_functions(record), "input")
    turns = _TURN.split(record["input"])
    if turns[0].strip():
        raise Unconvertible("input", "must begin with a turn such as 'User:'")
    for position, (speaker, said) in enumerate(zip(turns[1::2], turns[2::2], strict=True)):
        said = said.strip()
        if speaker == "User":
            conversation.add_text("user", said, position)
        elif speaker == "AI":
            conversation.add_assistant(said, position)
        elif speaker == "API-Request":
            request, _, result = said.partition("->")
            _add_request(conversation, request, "input")
            conversation.add_result(result.strip())
        elif said:
            raise Unconvertible("input", f"turn {position} has text after {speaker!r}")
    conversation.field = "output"
    output = record["output"].strip()
    if "API-Request:" in output or output.startswith("["):
        _add_request(conversation, output.split("API-Request:", 1)[-1].partition("->")[0], "output")
    else:
        conversation.add_assistant(output.removeprefix("AI:").strip())
    return conversation.rows()[-1:]


def _add_request(conversation: Conversation, text: str, field: str) -> None:
    text = text.strip()
    calls = read_named_calls(text if text.startswith("[") else f"[{text}]")
    if calls is None:
        raise Unconvertible(field, "has an API-Request that cannot be read")
    try:
        conversation.add_calls(cast_calls(calls, conversation.tools))
    except ValueError as error:
        raise Unconvertible(field, str(error)) from None


def _functions(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Functions of the instruction, and those that a search in the dialogue found."""
    _, found, listed = record["instruction"].partition(_LIST)
    try:
        functions = read_functions(listed) if found else []
        for line in record["input"].splitlines():
            searched = _SEARCHED.search(line) if _SEARCH in line else None
            if searched:
                functions += read_functions(searched[1])
        return to_tools(list({tool["function"]["name"]: tool for tool in functions}.values()))
    except ValueError as error:
        raise Unconvertible("instruction", f"the functions cannot be read: {error}") from None
