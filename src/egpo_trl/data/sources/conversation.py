"""A conversation in the form of the chat-completions API, and the canonical rows of its assistant steps."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Any

from ...tool_calls.calls import InvalidJSON, ToolCall, parse_reference
from ..assistant_text import read_assistant
from ..function_text import load_value, read_functions
from ..records import Unconvertible
from ..rows import read_reference, read_schemas

Row = dict[str, Any]
_TEXT_PARTS = ("text", "input_text", "output_text")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)

_last_column: list[tuple[Any, str]] = [(None, "")]  # functions, and the column that holds them


class Conversation:
    """Messages as they come; [`rows`] makes a row of each step: all that the assistant says before somebody else speaks."""

    def __init__(self, tools: list[dict[str, Any]], field: str = "conversations") -> None:
        self.tools = tools
        self.field = field
        self.messages: list[dict[str, Any]] = []
        self._steps: dict[int, _Step] = {}  # by position of their message
        self._unanswered: list[dict[str, Any]] = []  # calls of the last step whose results are still to come
        self._num_calls = 0
        self._ids: set[str] = set()  # of calls so far

    @cached_property
    def names(self) -> set[str]:
        """Names of the functions on offer."""
        return {tool["function"]["name"] for tool in self.tools}

    @cached_property
    def tools_column(self) -> str:
        """The functions as the column `tools` holds them."""
        tools, text = _last_column[0]
        if self.tools is not tools:
            text = dump_json(self.tools)
            read_schemas.written(
                text, {tool["function"]["name"]: tool["function"]["parameters"] for tool in self.tools}
            )
            _last_column[0] = self.tools, text
        return text

    def add_text(self, role: str, content: Any, position: int = 0) -> None:
        """Add a system, user or assistant message, in the record at `position`; an empty system message is none."""
        text = self._text(role, content, position)
        if role == "assistant":
            self._add_to_step(text, ())
        elif text:
            self.messages.append({"role": role, "content": text})

    def add_assistant(self, content: Any, position: int = 0) -> None:
        """Add an assistant message whose calls may be in its text; an empty one after another adds nothing."""
        is_empty = content is None or (isinstance(content, str) and not content.strip())
        if is_empty and self.messages and self.messages[-1]["role"] == "assistant":
            return
        calls, beside = self.read_calls(self._text("assistant", content, position), position)
        self._add_to_step(beside, calls)

    def read_calls(self, text: str, position: int) -> tuple[Sequence[ToolCall], str]:
        """Calls in a text and the text beside them, see [`~egpo_trl.data.assistant_text.read_assistant`]."""
        try:
            return read_assistant(text, self.names)
        except ValueError as error:
            raise Unconvertible(self.field, f"message {position} {error}") from None

    def add_calls(self, calls: Sequence[ToolCall], content: Any = "", ids: Sequence[Any] = ()) -> None:
        """Add an assistant message with calls, a text beside them, and the ids that the results refer to."""
        self._add_to_step(text_of(content) or "", calls, ids)

    def _text(self, role: str, content: Any, position: int) -> str:
        text = text_of(content)
        if text is None or (not text.strip() and role != "system"):
            raise Unconvertible(self.field, f"message {position} lacks content")
        return text if text.strip() else ""

    def _add_to_step(self, text: str, calls: Sequence[ToolCall], ids: Sequence[Any] = ()) -> None:
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self._unanswered = []
            self.messages.append({"role": "assistant", "content": ""})
        message, step = self.messages[-1], self._steps.setdefault(len(self.messages) - 1, _Step())
        step.calls += [{"name": call.name, "arguments": call.arguments} for call in calls]
        step.texts += [text] if text.strip() else []
        message["content"] = "\n".join(part for part in (message["content"], text) if part)
        for call, given in zip_longest(calls, ids[: len(calls)]):
            call_id = self._id_of_call(given)
            self._unanswered.append({"tool_call_id": call_id, "name": call.name, "given": given})
            function = {"name": call.name, "arguments": dump_json(call.arguments)}
            message.setdefault("tool_calls", []).append({"id": call_id, "type": "function", "function": function})

    def leave_out_step(self) -> None:
        """Keep the step that was added last in the history only."""
        self._steps[len(self.messages) - 1].is_left_out = True

    def _id_of_call(self, given: Any) -> str:
        """The id of a call as the record gives it, if it is one and no other call has it; else a new one."""
        call_id = given
        while not isinstance(call_id, str) or not call_id.strip() or call_id in self._ids:
            call_id = f"call_{self._num_calls}"
            self._num_calls += call_id in self._ids
        self._num_calls += 1
        self._ids.add(call_id)
        return call_id

    def add_result(self, content: Any, name: Any = None, given: Any = None) -> None:
        """Add a tool result: of the unanswered call with the id `given`, else of the function `name`, else the first."""
        text = text_of(content)
        message = {"role": "tool", "content": dump_json(content) if text is None else text}
        for key, value in (("given", given), ("name", name)):
            found = [call for call in self._unanswered if value is not None and call[key] == value]
            if found:
                break
        if found or self._unanswered:
            call = found[0] if found else self._unanswered[0]
            self._unanswered.remove(call)
            message |= {"tool_call_id": call["tool_call_id"], "name": call["name"]}
        elif isinstance(name, str):
            message["name"] = name
        self.messages.append(message)

    def rows(self) -> list[Row]:
        """One row for each assistant step after a user message."""
        first_user = next((i for i, m in enumerate(self.messages) if m["role"] == "user"), len(self.messages))
        rows = [
            make_row(self.messages[:position], self.tools_column, step.calls, "\n".join(step.texts))
            for position, step in self._steps.items()
            if position > first_user and not step.is_left_out
        ]
        if not rows:
            learned = " to learn" if any(step.is_left_out for step in self._steps.values()) else ""
            raise Unconvertible(self.field, f"lacks an assistant message{learned} after a user message")
        return rows


@dataclass
class _Step:
    """What the assistant says between two others: calls as JSON values, and texts."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    is_left_out: bool = False


def make_row(prompt: list[dict[str, Any]], tools: str, calls: list[dict[str, Any]], answer: str | None = None) -> Row:
    """A row without `id` and `source`; the text of the right answer is kept where no call is right."""
    kept = answer if not calls and answer and answer.strip() else None
    reference = dump_json(calls)
    with contextlib.suppress(ValueError):  # for the checks of rows to report
        read_reference.written(reference, parse_reference(calls))
    return {"prompt": prompt, "tools": tools, "reference": reference, "answer": kept}


def dump_json(value: Any) -> str:
    """JSON as the columns of a row hold it; raises [`Unconvertible`] for NaN and Infinity."""
    try:
        return _ENCODER.encode(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise Unconvertible("", f"cannot be written as JSON: {error}") from None


def text_of(content: Any) -> str | None:
    """Text of a message's content: a string, or a list of parts that are all text."""
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
        texts = [part.get("text") for part in content if part.get("type", "text") in _TEXT_PARTS]
        texts = [text for text in texts if isinstance(text, str)]
        content = "\n".join(texts) if len(texts) == len(content) else None
    return content if isinstance(content, str) else None


def tools_of(record: Mapping[str, Any], field: str = "tools") -> list[dict[str, Any]]:
    """Functions of a record: a list, or a text that [`read_functions`] knows; raises [`Unconvertible`]."""
    if record.get(field) is None:
        raise Unconvertible(field, "is missing")
    try:
        return read_functions(record[field])
    except InvalidJSON as error:
        raise Unconvertible(field, f"is not JSON: {error}") from None
    except ValueError as error:
        raise Unconvertible(field, str(error)) from None


def json_field(record: Mapping[str, Any], field: str) -> Any:
    """Value of a field that may be written as a JSON string, or as Python writes it; raises [`Unconvertible`]."""
    value = record.get(field)
    if value is None:
        raise Unconvertible(field, "is missing")
    if not isinstance(value, str):
        return value
    try:
        return load_value(value)
    except InvalidJSON as error:
        raise Unconvertible(field, f"is not JSON: {error}") from None
