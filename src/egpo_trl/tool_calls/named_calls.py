"""Pythonic calls as data sets and prompts write them: function and argument names may be any text, even with blanks."""

import re

from .calls import MAX_CHARACTERS, MAX_DEPTH, State, ToolCall
from .syntaxes.pythonic import read_pythonic
from .syntaxes.pythonic import write_calls as write_calls

# Strings, closed or not, so that none is looked at twice, and what parts names from values.
_TOKEN = re.compile(r"""\"(?:[^"\\]|\\.)*\\?(?:\"|\Z)|'(?:[^'\\]|\\.)*\\?(?:'|\Z)|[\[({\])},=]""", re.DOTALL)


def read_named_calls(text: str) -> tuple[ToolCall, ...] | None:
    """
    Read a list of pythonic calls whose function and argument names may be any text, such as `[Get Weather(from=1)]`.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    names: dict[str, str] = {}

    def placeholder(name: str) -> str:
        key = f"name_{len(names)}"
        names[key] = name.strip()
        return key

    pieces: list[str] = []
    brackets: list[str] = []
    start = 0  # of the name that is expected, if one is
    expects_name = False
    for token in _TOKEN.finditer(text):
        piece, depth = token.group(), len(brackets)
        if expects_name and ((depth == 1 and piece == "(") or (depth == 2 and piece == "=")):
            pieces += [placeholder(text[start : token.start()]), piece]
            start, expects_name = token.end(), False
        elif piece[0] not in "\"'" and not expects_name:
            pieces.append(text[start : token.end()])
            start = token.end()
        if piece in ("[", "(", "{"):
            brackets.append(piece)
        elif piece in ("]", ")", "}") and brackets:
            brackets.pop()
        if piece in ("[", "(", ","):
            expects_name = brackets in (["["], ["[", "("])
        if piece in ("]", ")", "}") and expects_name:  # `f()`, or a comma at the end
            pieces.append(text[start : token.end()])
            start, expects_name = token.end(), False
        if len(brackets) > MAX_DEPTH:
            return None
    answer = read_pythonic("".join(pieces) + text[start:])
    if answer.state is not State.CALL or not all(names.values()):
        return None
    if not all(call.name in names and call.arguments.keys() <= names.keys() for call in answer.calls):
        return None
    calls = tuple(
        ToolCall(names[call.name], {names[key]: value for key, value in call.arguments.items()})
        for call in answer.calls
    )
    repeated = any(len(a.arguments) != len(b.arguments) for a, b in zip(calls, answer.calls, strict=True))
    return None if repeated else calls
