"""Telling text from a call that went wrong, whatever the syntax it was meant to be in."""

import re
from collections.abc import Collection

# A tag, a bracketed or bare call with keyword arguments, or the JSON object of a call: none belongs in a text answer.
_FRAGMENT = re.compile(
    r"</?(?:tool_call|answer|function|tool_response|think)\b"
    r"|<\|(?:python_tag|tool_call)"
    r"|[^\W\d][\w.]*\(\s*(?:\)|\w+\s*=(?!=))"
    r'|"(?:arguments|parameters)"\s*:\s*[{"]'
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
    return any(f"{name}(" in text for name in function_names)
