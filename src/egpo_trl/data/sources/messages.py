"""Conversations of the chat-completions API: `messages` and `tools`, as lists or JSON strings."""

import re
from collections.abc import Mapping
from typing import Any

from ...tool_calls.calls import InvalidJSON, ToolCall
from ..assistant_text import call_of, is_thought
from ..function_text import decoded, functions_in, lists_functions, load_value
from ..records import Unconvertible
from .conversation import Conversation, Row, json_field, text_of, tools_of
from .hermes_tags import read_results

FIELDS = ("messages", "tools")
IS_GENERAL = True  # a source for one data set goes first
TOOL_FIELDS = ("tools", "functions", "tools_json", "available_tools")

_ROLES = {
    **dict.fromkeys(("system", "systems", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "ai", "chatgpt", "answer"), "assistant"),
    **dict.fromkeys(("tool_call", "tool_calls", "function_call", "function_calls"), "calls"),
    **dict.fromkeys(
        ("tool", "function", "observation", "tool_response", "tool_result", "tool_output", "function_response",
         "function_result", "function_output", "function_call_output", "ipython"), "tool"
    ),
    **dict.fromkeys(("reasoning", "thinking", "thought"), "thought"),
}  # fmt: skip
_JSON_START = re.compile(r"""\[\s*\{|\{\s*["']""")
_WEIGHTS = ("weight", "loss", "train")  # of a message: 0 or false where it is not to be learned
_BLOCK_TEXTS = ("text", "input_text", "output_text")
_BLOCK_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")


def recognise(record: Mapping[str, Any]) -> str | None:
    """Why a record is in this form, `None` if it is not."""
    record = request_of(record, "messages")
    field = _field_of(record)
    if record.get(field) is None:
        return "it has `query` and `response`" if _is_asked(record) else None
    tools = next((name for name in TOOL_FIELDS if record.get(name) is not None), None)
    return f"it has `{field}` and `{tools}`" if tools else f"it has `{field}`"


def convert_record(record: Mapping[str, Any], keep_system: bool | None = None) -> list[Row]:
    """
    Rows of a record; see [`~egpo_trl.data.sources.convert`].

    `messages` (or `conversation`, bitAgent) may be one user message as text; `answers` (calls, or a text) may follow, or
    what the API gave: `response` or `choices`, also beside a `request`. ms-swift's older form is read too: `query`,
    `response` and `history`.
    """
    record = request_of(record, "messages")
    if _is_asked(record):
        record = {**record, "messages": _asked(record)}
    return convert_messages(record, _field_of(record), keep_system)


def request_of(record: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """The record with the fields of its `request` or `body`, as logs and files of batches have them, also as JSON text."""
    request = record
    for name in ("request", "body"):
        inner = decoded(request.get(name))
        if request.get(field) is None and isinstance(inner, Mapping):
            request = inner
    return record if request is record or request.get(field) is None else {**record, **request}


def _is_asked(record: Mapping[str, Any]) -> bool:
    """Whether a record is in ms-swift's older form."""
    given = isinstance(record.get("query"), str) and record.get("response") is not None
    return given and record.get(_field_of(record)) is None


def _asked(record: Mapping[str, Any]) -> list[Any]:
    """Messages of ms-swift's older form: pairs of what was said in `history`, and the `query`."""
    history = json_field(record, "history") if record.get("history") else []
    pairs = history if isinstance(history, list) else [history]
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise Unconvertible("history", "must be a list of pairs of a query and a response")
    said = [*((role, text) for pair in pairs for role, text in zip(("user", "assistant"), pair, strict=True))]
    return [{"role": role, "content": text} for role, text in [*said, ("user", record["query"])]]


def _add_response(conversation: Conversation, record: Mapping[str, Any], messages: list[Any]) -> None:
    """Add the answer of the API that a record has beside messages that another role ends."""
    fields = ("response", "choices", *(["content"] if record.get("role") == "assistant" else []))
    field = next((name for name in fields if record.get(name)), None)
    if field is None or _role_and_content(messages[-1])[0] in ("assistant", "calls"):
        return
    conversation.field = field
    message = _message_of(record if field == "content" else record[field])
    if isinstance(message, Mapping) and isinstance(message.get("role"), str):
        add_messages(conversation, [message], first=len(messages))
    elif isinstance(record[field], str):
        conversation.add_assistant(record[field], len(messages))
    else:
        raise Unconvertible(field, "must be a message, or an answer of the API that holds one")


def _message_of(answer: Any) -> Any:
    """The message in an answer of the API: of Anthropic it is the answer itself, of OpenAI it is in `choices`."""
    for name in ("body", "choices"):
        answer = decoded(answer)
        answer = answer.get(name) or answer if isinstance(answer, Mapping) else answer
    answer = decoded(answer)
    if isinstance(answer, list) and answer and isinstance(answer[0], Mapping):
        return answer[0].get("message")
    return answer


def _field_of(record: Mapping[str, Any]) -> str:
    return "messages" if record.get("messages") is not None or record.get("conversation") is None else "conversation"


def convert_messages(
    record: Mapping[str, Any],
    field: str = "messages",
    keep_system: bool | None = None,
    tool_fields: tuple[str, ...] = TOOL_FIELDS,
) -> list[Row]:
    """Rows of a record whose messages are in a field."""
    check_label(record)
    messages = _messages_of(record, field)
    conversation = Conversation(_functions_of(record, messages, field, tool_fields), field)
    add_messages(conversation, messages, keep_system, first=-1 if record.get("system") else 0)
    if record.get("answers") is not None:
        add_answers(conversation, record["answers"], "answers")
    else:
        _add_response(conversation, record, messages)
    return conversation.rows()


def check_label(record: Mapping[str, Any]) -> None:
    """Raise [`Unconvertible`] where a label for KTO says that the answer is a bad one."""
    bad = next((name for name in ("label", "kto_tag") if str(record.get(name)).lower() == "false"), None)
    if bad is not None:
        raise Unconvertible(bad, "says that the answer is a bad one")


def _messages_of(record: Mapping[str, Any], field: str) -> list[Any]:
    value = record.get(field)
    if isinstance(value, str) and value.strip() and value.lstrip()[0] not in "[{":
        value = [{"role": "user", "content": value}]  # a query
    else:
        value = json_field(record, field)
    if not isinstance(value, list) or not value:
        raise Unconvertible(field, "must be a non-empty list of messages")
    system = record.get("system")
    return [{"role": "system", "content": system}, *value] if system else value


def _functions_of(
    record: Mapping[str, Any], messages: list[Any], field: str, tool_fields: tuple[str, ...]
) -> list[dict[str, Any]]:
    found = next((name for name in tool_fields if record.get(name) not in (None, "", [], "[]")), None)
    if found is not None:
        return tools_of(record, found)
    for message in messages:
        role, content = _role_and_content(message)
        text = text_of(content) if role == "system" else None
        try:
            listed = functions_in(text) if text else None
        except ValueError as error:
            raise Unconvertible(field, f"the functions in the system message cannot be read: {error}") from None
        if listed is not None:
            return listed
    return []


def add_answers(conversation: Conversation, answers: Any, field: str) -> None:
    """Add the right answer that a field holds: calls as values or JSON, else a text."""
    conversation.field = field
    if isinstance(answers, str) and (not answers.strip() or answers.lstrip()[0] not in "[{"):
        conversation.add_assistant(answers)
        return
    try:
        given = load_value(answers) if isinstance(answers, str) else answers
    except InvalidJSON as error:
        if not _JSON_START.match(answers):  # such as `[f(a=1)]`, or a text that begins with `[1]`
            conversation.add_assistant(answers)
            return
        raise Unconvertible(field, f"is not JSON: {error}") from None
    if isinstance(given, Mapping) and isinstance(given.get("role"), str):
        given = [given]
    if isinstance(given, list) and any(isinstance(item, Mapping) and "role" in item for item in given):
        add_messages(conversation, given)
        return
    if not isinstance(given, (list, Mapping)):
        raise Unconvertible(field, f"must be a list of calls or a text, got {type(given).__name__}")
    conversation.add_calls(_calls_of(given, field))


def _calls_of(values: Any, field: str) -> list[ToolCall]:
    calls = []
    for position, value in enumerate(values if isinstance(values, list) else [values]):
        try:
            calls.append(call_of(value))
        except ValueError as error:
            raise Unconvertible(field, f"call {position}: {error}") from None
    return calls


def add_messages(
    conversation: Conversation,
    messages: Any,
    keep_system: bool | None = True,
    calls_in_text: bool = True,
    first: int = 0,
) -> None:
    """
    Add messages to a conversation: those of the chat-completions API, of ShareGPT (`from`, `value`), of Anthropic (blocks
    of `tool_use` and `tool_result`), items of OpenAI's Responses, and calls and results as messages of their own roles.
    """
    field = conversation.field
    if not isinstance(messages, list) or not messages:
        raise Unconvertible(field, "must be a non-empty list of messages")
    reader = _Reader(conversation, calls_in_text)
    for position, message in enumerate(messages, first):
        role, content = _role_and_content(message)
        if role is None and isinstance(message, Mapping):
            message = {str(name).lower(): value for name, value in message.items()}
            role, content = _role_and_content(message)
        if role is None:
            raise Unconvertible(field, _unknown_role(message, position))
        if role == "system":
            text = text_of(content) or ""
            if keep_system or (keep_system is None and not lists_functions(text, conversation.names)):
                conversation.add_text("system", content, position)
        elif role != "thought" and not (
            role == "assistant" and calls_in_text and _goes_on(messages, position - first)
        ):
            getattr(reader, f"add_{role}")(message, content, position)
            if role in ("assistant", "calls") and any(message.get(key) in (0, "0", "false") for key in _WEIGHTS):
                conversation.leave_out_step()


def _goes_on(messages: list[Any], place: int) -> bool:
    """Whether a message is only a thought, and the assistant says in the next one what it thought of."""
    message, following = messages[place], messages[place + 1 : place + 2]
    if not following or _role_and_content(following[0])[0] not in ("assistant", "calls"):
        return False
    text = text_of(_role_and_content(message)[1])
    return text is not None and is_thought(text) and not (message.get("tool_calls") or message.get("function_call"))


def _role_and_content(message: Any) -> tuple[str | None, Any]:
    """Role as the keys of [`_Reader`]'s methods name it, and content."""
    if not isinstance(message, Mapping):
        return None, None
    role, content = message.get("role"), message.get("content")
    if role is None:
        role = _first_of(message, ("from", "type"))
    if content is None:
        content = _first_of(message, ("value", "output"))
    if not isinstance(role, str):
        return None, content
    return _ROLES.get(role) or _ROLES.get(role.lower().replace(" ", "_").replace("-", "_")), content


def _first_of(message: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((message[key] for key in keys if message.get(key) is not None), None)


def _unknown_role(message: Any, position: int) -> str:
    if not isinstance(message, Mapping):
        return f"message {position} must have a role of the chat-completions API"
    role = _first_of(message, ("role", "from", "type"))
    return f"message {position} has the unknown role {str(role)[:40]!r}"


class _Reader:
    """Adds messages of one role each to a conversation."""

    def __init__(self, conversation: Conversation, calls_in_text: bool) -> None:
        self._conversation = conversation
        self._field = conversation.field
        self._calls_in_text = calls_in_text

    def add_user(self, message: Mapping[str, Any], content: Any, position: int) -> None:
        """A user message, which may hold results of tools: as blocks, or all of it in tags."""
        if _has_blocks(content):
            results = [block for block in content if block.get("type") == "tool_result"]
            for block in results:
                self._conversation.add_result(_plain(block.get("content", "")), None, block.get("tool_use_id"))
            content = [block for block in content if block.get("type") != "tool_result"]
            if results and not content:
                return
        text = text_of(content)
        stripped = text.strip() if text and self._calls_in_text else ""
        if stripped.startswith("<tool_response>") and stripped.endswith("</tool_response>"):
            self.add_tool(message, stripped, position)
        else:
            self._conversation.add_text("user", content, position)

    def add_assistant(self, message: Mapping[str, Any], content: Any, position: int) -> None:
        """An assistant message: calls in keys, in blocks or in its text, or a text."""
        calls = self._given_calls(message)
        if _has_blocks(content):
            unknown = {str(block.get("type")) for block in content} - {*_BLOCK_TEXTS, *_BLOCK_THOUGHTS, "tool_use"}
            if unknown:
                raise Unconvertible(self._field, f"message {position} has a block of type {min(unknown)[:40]!r}")
            calls += [block for block in content if block.get("type") == "tool_use"]
            content = [block for block in content if block.get("type") in _BLOCK_TEXTS]
        if not calls:
            if self._calls_in_text:
                self._conversation.add_assistant(content, position)
            else:
                self._conversation.add_text("assistant", content, position)
            return
        read = self._read(calls, position)
        text = text_of(content) or ""
        text = "" if self._calls_in_text and is_thought(text) else text
        if self._calls_in_text and text.strip():
            again, text = self._conversation.read_calls(text, position)
            if again and list(again) != read:
                raise Unconvertible(
                    self._field, f"message {position} holds other calls in its text than in 'tool_calls'"
                )
        self._conversation.add_calls(read, text, [call.get("id") for call in calls])

    def add_calls(self, message: Mapping[str, Any], content: Any, position: int) -> None:
        """A message or item that is nothing but calls."""
        if content is None and isinstance(message.get("name"), str):  # an item of Responses
            self._conversation.add_calls(self._read([message], position), "", [message.get("call_id")])
            return
        if isinstance(content, str) and "<" in content:
            calls = list(self._conversation.read_calls(content, position)[0])
        else:
            try:
                given = load_value(content) if isinstance(content, str) else content
                calls = [call_of(call) for call in (given if isinstance(given, list) else [given])]
            except ValueError as error:
                raise Unconvertible(self._field, f"message {position} is not a call: {error}") from None
        if not calls:
            raise Unconvertible(self._field, f"message {position} is without calls")
        self._conversation.add_calls(calls)

    def add_tool(self, message: Mapping[str, Any], content: Any, position: int) -> None:
        """A result, or several in tags or in a list of objects with `results`."""
        given = _first_of(message, ("tool_call_id", "tool_use_id", "call_id"))
        content = "" if content is None else content
        read = read_results(content, self._conversation.names) if self._calls_in_text else [(content, None)]
        for result, name in read:
            self._conversation.add_result(result, message.get("name") or name, given)

    def _given_calls(self, message: Mapping[str, Any]) -> list[Any]:
        calls = message.get("tool_calls")
        if isinstance(calls, str) and calls.strip():
            try:
                calls = load_value(calls)
            except InvalidJSON as error:
                raise Unconvertible(self._field, f"'tool_calls' must be a list: {error}") from None
        if not calls and message.get("function_call"):
            calls = [message["function_call"]]  # the older form of the API
        if calls and not isinstance(calls, list):
            raise Unconvertible(self._field, "'tool_calls' must be a list")
        return [decoded(call) for call in calls or [] if call is not None]

    def _read(self, calls: list[Any], position: int) -> list[ToolCall]:
        try:
            return [call_of(call) for call in calls]
        except ValueError as error:
            raise Unconvertible(self._field, f"message {position}: {error}") from None


def _has_blocks(content: Any) -> bool:
    """Whether content is a list of blocks of which one is more than text."""
    if not isinstance(content, list) or not all(isinstance(block, Mapping) for block in content):
        return False
    return any(block.get("type", "text") != "text" for block in content)


def _plain(content: Any) -> Any:
    """Content of a result: its text where that is all that there is."""
    text = text_of(content)
    return content if text is None else text
