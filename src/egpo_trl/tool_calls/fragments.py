"""Telling text from a call that went wrong, whatever the syntax it was meant to be in."""

import re
from collections.abc import Collection

from .calls import MAX_CHARACTERS, Answer, State

# A tag or special token, a call with keyword arguments, or an object: none belongs in a text answer.
_FRAGMENT = re.compile(
    r"<\s*/?\s*(?:tool_?calls?|function_?calls?|function|invoke|answer|parameter|arg_key|arg_value|tool_response|think)\b"
    r"|\w_calls?>|<[|\uff5c]\w|\w[|\uff5c]>|\[/?(?:TOOL_CALLS|ARGS|THINK)\]"
    r"|(?<![\w.])[\w.]+\(\s*(?:\)|\w+\s*=(?!=))"
    r"|\{\s*[\"'\u2018\u201c]?[\w\\ .-]{1,64}[\"'\u2019\u201d]?\s*:"
    r'|"(?:name|arguments|parameters)"\s*:',
    re.IGNORECASE,
)


def has_fragment(text: str, function_names: Collection[str]) -> bool:
    """
    Whether a text holds a call or a piece of one.

    Args:
        text (`str`):
            Answer of a completion.
        function_names (`Collection[str]`):
            Names of the functions that the row offers: one of them before a parenthesis is a call however it goes on.

    Returns:
        `bool`:
            `True` if it does.
    """
    if text.lstrip()[:1] in ("[", "{") or _FRAGMENT.search(text):
        return True
    return any(re.search(rf"(?<![\w.]){re.escape(name)}\s*[({{]", text) for name in function_names if name in text)


def read_text(text: str, function_names: Collection[str]) -> Answer:
    """
    Read an answer that cannot be a call.

    Args:
        text (`str`):
            The answer.
        function_names (`Collection[str]`):
            Names of the functions that the row offers.

    Returns:
        [`Answer`]:
            TEXT, or MALFORMED where it is empty, holds a piece of a call, or is too long to look for one.
    """
    if not text.strip():
        return Answer(State.MALFORMED, reason="empty_answer")
    if len(text) > MAX_CHARACTERS or has_fragment(text, function_names):
        return Answer(State.MALFORMED, reason="malformed_call")
    return Answer(State.TEXT)
