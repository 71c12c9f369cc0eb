"""Defines what a syntax of tool calls is, and the two forms that most of them share.

A form is written down once, as text with placeholders, and both the reader and the writer follow from it.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

from .calls import (
    MAX_CALLS,
    MAX_CHARACTERS,
    Answer,
    InvalidJSON,
    ToolCall,
    call_from_object,
    check_value,
    decode_json,
)
from .fragments import MALFORMED, calls_beside, read_text

Reader = Callable[[str, Collection[str], bool], Answer]
Writer = Callable[[Sequence[ToolCall]], str]

_NAME = r"(?P<name>[^\s<>\[\]{}\"'|\uff5c]{1,256})"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_AROUND_TAGS = re.compile(r"(?<=[>\]])(?=\S)|(?<=\S)(?=<|\[[A-Z_]{3,}\])")
_MARK = re.compile(r"<[^<>{}\s]{2,}>?|\[[A-Z_]{3,}\]")


class Syntax(NamedTuple):
    """
    One way in which models write calls.

    `read` takes an answer (what follows the chain of thought, without the end of the turn), the names of the functions
    on offer and whether text may surround calls. `marks` are texts that only this syntax uses: a chat template that
    holds one asks for it. Where `is_typed_by_schema`, arguments are read as text, and their JSON schema says what they are.
    """

    name: str
    read: Reader
    write: Writer
    marks: tuple[str, ...] = ()
    is_typed_by_schema: bool = False
    think_tags: tuple[str, str] | None = None
    checks_think_tags: bool = False  # whether `read` itself refuses stray think tags
    write_text: Callable[[str], str] = str


class Form(NamedTuple):
    """
    How calls with JSON arguments are framed.

    `call` holds `{name}` and `{arguments}`; or `{call}`, an object with both; or `{calls}`, a list of such objects. It may
    hold `{index}` and `{id}`. White space in it may be missing, and more may be there. `begin` and `end` stand around all
    calls, and `{text}` in `text` is what a text answer is wrapped in.
    """

    call: str
    begin: str = ""
    end: str = ""
    between: str = ""
    name_key: str = "name"
    arguments_key: str = "arguments"
    other_keys: tuple[str, ...] = ()


class TaggedForm(NamedTuple):
    """How calls are framed whose arguments stand between tags: `call` holds `{name}`, `argument` `{key}` and `{value}`."""

    call: str
    argument: str
    close: str
    begin: str = ""
    end: str = ""


class _Broken(ValueError):
    """A call that is not as its form says."""


def framed(*forms: Form) -> tuple[Reader, Writer]:
    """Reader of several forms with JSON arguments, and writer of the first."""
    return _reader([_FramedReader(form) for form in forms], forms), _framed_writer(forms[0])


def tagged(*forms: TaggedForm) -> tuple[Reader, Writer]:
    """Reader of several forms with tagged arguments, which it leaves as text, and writer of the first."""
    return _reader([_TaggedReader(form) for form in forms], forms), _tagged_writer(forms[0])


def _reader(readers: Sequence["_FramedReader | _TaggedReader"], forms: Iterable[Form | TaggedForm]) -> Reader:
    marks = {mark for form in forms for part in form if isinstance(part, str) for mark in _MARK.findall(part)}

    def read(text: str, function_names: Collection[str] = (), allow_text: bool = False) -> Answer:
        text = text.strip()
        if len(text) > MAX_CHARACTERS:
            return MALFORMED
        found = [(match.start(), reader) for reader in readers if (match := reader.opening.search(text))]
        if not found:
            return MALFORMED if any(mark in text for mark in marks) else read_text(text, function_names)
        start = min(at for at, _ in found)
        answers = [reader.read(text, at) for at, reader in found if at == start]
        whole = next((answer for answer in answers if answer is not None), None)
        if whole is None or not 0 < len(whole[0]) <= MAX_CALLS:
            return MALFORMED
        calls, end = whole
        beside = f"{text[:start]}\n{text[end:]}"
        return calls_beside(calls, beside, function_names, allow_text and not any(mark in beside for mark in marks))

    return read


class _FramedReader:
    def __init__(self, form: Form) -> None:
        kind = next(name for name in ("arguments", "call", "calls") if f"{{{name}}}" in form.call)
        head, _, tail = form.call.partition(f"{{{kind}}}")
        self._form, self._kind = form, kind
        self._begin, self._end = re.compile(_pattern(form.begin.strip())), re.compile(_pattern(form.end.strip()))
        self._head, self._tail = re.compile(_pattern(head)), re.compile(_pattern(tail.strip()))
        follows = _pattern(head) if head.strip() else r"\{"
        self._next = re.compile(_pattern(form.between.strip()) + rf"\s*(?={follows})")
        starts = r"\[" if kind == "calls" else r"\{"
        self.opening = re.compile(_pattern((form.begin + head).rstrip()) + rf"\s*(?={starts})")

    def read(self, text: str, start: int) -> tuple[list[ToolCall], int] | None:
        calls: list[ToolCall] = []
        try:
            position = _skip(text, _after(self._begin, text, start))
            while (head := self._head.match(text, position)) is not None and len(calls) <= MAX_CALLS:
                value, position = decode_json(text, _skip(text, head.end()))
                calls += self._calls(value, head.groupdict().get("name"))
                position = _after(self._tail, text, position)
                more = self._next.match(text, _skip(text, position)) if self._kind != "calls" else None
                if more is None:
                    break
                position = more.end()
            return calls, _after(self._end, text, position)
        except (ValueError, InvalidJSON):
            return None

    def _calls(self, value: Any, name: str | None) -> list[ToolCall]:
        form = self._form
        if self._kind == "arguments":
            if not isinstance(value, dict) or not name:
                raise _Broken("arguments must be an object")
            return [ToolCall(name, value)]
        items = value if self._kind == "calls" else [value]
        if not isinstance(items, list):
            raise _Broken("calls must be a list")
        return [call_from_object(_renamed(item, form)) for item in items]


def _renamed(item: Any, form: Form) -> Any:
    if not isinstance(item, dict):
        return item
    keys = {form.name_key: "name", form.arguments_key: "arguments"}
    return {keys.get(key, key + " "): value for key, value in item.items() if key not in form.other_keys}


class _TaggedReader:
    def __init__(self, form: TaggedForm) -> None:
        before, _, after = form.argument.partition("{value}")
        self._key, self._opened, self._closed = (
            re.compile(_pattern(before.rstrip())),
            before.partition("{")[0],
            after.strip(),
        )
        self._pads = before[len(before.rstrip()) :], after[: len(after) - len(after.lstrip())]
        self._call, self._close = re.compile(_pattern(form.call.rstrip())), re.compile(_pattern(form.close.strip()))
        self._begin, self._end = re.compile(_pattern(form.begin.strip())), re.compile(_pattern(form.end.strip()))
        self.opening = re.compile(_pattern(form.begin + form.call.rstrip()))

    def read(self, text: str, start: int) -> tuple[list[ToolCall], int] | None:
        calls: list[ToolCall] = []
        try:
            position = _skip(text, _after(self._begin, text, start))
            while (opened := self._call.match(text, position)) is not None and len(calls) <= MAX_CALLS:
                arguments, position = self._arguments(text, _skip(text, opened.end()))
                calls.append(ToolCall(opened["name"], arguments))
                position = _after(self._close, text, position)
                following = _skip(text, position)
                position = following if self._call.match(text, following) else position
            return calls, _after(self._end, text, position)
        except (ValueError, InvalidJSON):
            return None

    def _arguments(self, text: str, position: int) -> tuple[dict[str, Any], int]:
        arguments: dict[str, Any] = {}
        while (key := self._key.match(text, position)) is not None:
            end = text.find(self._closed, key.end())
            name = key["key"].strip()
            if end < 0 or name in arguments or text.find(self._opened, key.end(), end) >= 0:
                raise _Broken("an argument that is not closed, or repeated")
            value = text[key.end() : end].removeprefix(self._pads[0]).removesuffix(self._pads[1])
            kind = key.groupdict().get("string")
            arguments[name] = value if kind != "false" else _json_value(value)
            position = _skip(text, end + len(self._closed))
        check_value(arguments)
        return arguments, position


def _json_value(text: str) -> Any:
    value, end = decode_json(text.strip())
    if end != len(text.strip()):
        raise _Broken("text after a value")
    return value


def _pattern(template: str) -> str:
    """Pattern of a text with placeholders, in which white space is optional, also around tags, and may be longer."""
    groups = {"name": _NAME, "key": r"(?P<key>[^<>\n\"]{1,256}?)", "index": r"\d{1,9}", "id": r"[\w.:-]{1,256}",
              "string": r"(?P<string>true|false)"}  # fmt: skip
    pieces = _PLACEHOLDER.split(_AROUND_TAGS.sub(" ", template))
    written = []
    for at, piece in enumerate(pieces):
        literal = r"\s*".join(re.escape(part) for part in re.split(r"\s+", piece))
        written.append(groups[piece] if at % 2 else literal)
    return "".join(written)


def _after(pattern: "re.Pattern[str]", text: str, position: int) -> int:
    match = pattern.match(text, _skip(text, position))
    if match is None:
        raise _Broken("a call that is not closed")
    return match.end()


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def write_json(value: Any) -> str:
    """JSON as chat templates write it."""
    return json.dumps(value, ensure_ascii=False)


def _framed_writer(form: Form) -> Writer:
    def write(calls: Sequence[ToolCall]) -> str:
        objects = [{form.name_key: call.name, form.arguments_key: call.arguments} for call in calls]
        if "{calls}" in form.call:
            return form.begin + _fill(form.call, calls=write_json(objects)) + form.end
        written = [
            _fill(
                form.call,
                name=call.name,
                arguments=write_json(call.arguments),
                call=write_json(one),
                index=str(at),
                id=f"{at:09d}",
            )
            for at, (call, one) in enumerate(zip(calls, objects, strict=True))
        ]
        return form.begin + form.between.join(written) + form.end

    return write


def _tagged_writer(form: TaggedForm) -> Writer:
    def argument(key: str, value: Any) -> str:
        text = value if isinstance(value, str) else write_json(value)
        return _fill(form.argument, key=key, value=text, string=str(isinstance(value, str)).lower())

    def write(calls: Iterable[ToolCall]) -> str:
        written = [
            _fill(form.call, name=call.name)
            + "".join(argument(key, value) for key, value in call.arguments.items())
            + form.close
            for call in calls
        ]
        return (form.begin + "".join(written) + form.end).rstrip()

    return write


def _fill(template: str, **values: str) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)
