"""The syntax of MiniMax-M1 ("function_call_guide.md"): one JSON object a line.

Hunyuan and Jamba write one list instead, Hunyuan with `<answer>` around its whole answer.
"""

import re
from collections.abc import Collection

from ..calls import Answer
from ..syntax import Form, Syntax, framed

_BEGIN, _END = "<tool_calls>\n", "\n</tool_calls>"
_READ, _WRITE = framed(Form("{call}", _BEGIN, _END, between="\n"), Form("{calls}", _BEGIN, _END))
_WRAPPED = re.compile(r"<answer>(.*)</answer>", re.DOTALL)


def read(text: str, function_names: Collection[str] = (), allow_text: bool = False) -> Answer:
    """Reads calls or a text, with or without the tags of an answer around them."""
    wrapped = _WRAPPED.fullmatch(text.strip())
    return _READ(wrapped[1] if wrapped else text, function_names, allow_text)


SYNTAX = Syntax("minimax_m1", read, _WRITE, marks=("<tool_calls>",))
