"""Reads the function schemas that a text lists: as JSON, as JSON objects in a row, or as Python literals."""

import contextlib
import json
import marshal
import re
from collections.abc import Collection, Iterator
from typing import Any

from ..tool_calls.calls import MAX_CHARACTERS, InvalidJSON, check_value, load_json
from ..tool_calls.syntaxes.pythonic import read_literal
from .json_schema import to_tools

_MAX_TEXT = 20_000_000  # characters of a list of messages or functions; each call in it keeps to the limits of calls
# A string, closed or not, or a bracket.
_TOKEN = re.compile(r"""'(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?|[{}]""", re.DOTALL)
_STRUCTURE = re.compile(r"""\s*(?:\[\s*\{|\{\s*["'])""")
_BETWEEN = re.compile(r"[\s,\[\]()]*")
_TAGS = (
    ("<tools>", "</tools>"), ("<tool>", "</tool>"), ("<functions>", "</functions>"),
    ("<AVAILABLE_TOOLS>", "</AVAILABLE_TOOLS>"), ("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    ("tool_declare<|im_middle|>", "<|im_end|>"),
)  # fmt: skip


def load_long_json(text: str) -> Any:
    """A JSON value that may be longer than a call, such as the messages of a conversation; raises [`InvalidJSON`]."""
    if len(text) <= MAX_CHARACTERS:
        return load_json(text)
    if len(text) > _MAX_TEXT:
        raise InvalidJSON(f"longer than {_MAX_TEXT} characters")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidJSON(str(error)) from None
    check_value(value)
    return value


def load_value(text: str) -> Any:
    """A JSON value, or one that is written as a Python literal; raises [`InvalidJSON`]."""
    try:
        return load_long_json(text)
    except InvalidJSON as error:
        try:
            return read_literal(text.strip())
        except ValueError:
            raise error from None


def decoded(value: Any) -> Any:
    """The value that a text holds as JSON or as a Python literal; any other value as it is."""
    with contextlib.suppress(InvalidJSON):
        return load_value(value) if isinstance(value, str) and _STRUCTURE.match(value) else value
    return value


_last: list[tuple[Any, list[dict[str, Any]]]] = [
    (None, [])
]  # what was read last; records in a row often offer the same


def read_functions(value: Any) -> list[dict[str, Any]]:
    """Function schemas in the form of the chat-completions API, which are not to be modified."""
    try:
        key = value if isinstance(value, str) else marshal.dumps(value, 2)  # exact, while 1 == True
    except ValueError:
        return _read_functions(value)
    known, tools = _last[0]
    if key != known:
        tools = _read_functions(value)
        _last[0] = key, tools
    return tools


def _read_functions(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, str):
        value = _values(value)
    if isinstance(value, list):
        value = [load_value(item) if isinstance(item, str) else item for item in value]
    return to_tools(value)


def functions_in(text: str) -> list[dict[str, Any]] | None:
    """The functions that a system message lists between tags such as `<tools>`, `None` where it lists none."""
    for start, end in _TAGS:
        if start in text:
            return read_functions(text.rsplit(start, 1)[1].split(end, 1)[0])
    return None


def lists_functions(text: str, names: Collection[str]) -> bool:
    """Whether a system message lists all functions of the record with their parameters."""
    if not names or not ("parameters" in text or "arguments" in text or "<tool" in text):
        return False
    return all(f'"{name}"' in text or f"'{name}'" in text for name in names)


def _values(text: str) -> Any:
    text = text.strip()
    if not text:
        return []
    try:
        return load_long_json(text)
    except InvalidJSON as error:
        pieces = list(_objects(text))
        if not pieces:
            raise error
        return [load_value(piece) for piece in pieces]


def _objects(text: str) -> Iterator[str]:
    """The outermost objects of a text that holds nothing else but brackets and commas; nothing for another text."""
    depth, start, end = 0, 0, 0
    found = []
    for token in _TOKEN.finditer(text):
        if token[0] == "{":
            if depth == 0 and not _BETWEEN.fullmatch(text, end, token.start()):
                return
            start = start if depth else token.start()
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if depth < 0:
                return
            if depth == 0:
                end = token.end()
                found.append(text[start:end])
    if depth == 0 and _BETWEEN.fullmatch(text, end):
        yield from found
