"""The syntax of Granite 3 (IBM, "Function calling"): a marker and a list; Granite 4 writes Hermes calls."""

from ..syntax import Form, Syntax, framed

_READ, _WRITE = framed(
    Form("{calls}", begin="<|tool_call|>"),
    Form("{calls}", begin="<tool_call>"),
    Form("<function_call>{call}"),
)

SYNTAX = Syntax("granite", _READ, _WRITE, marks=("<|tool_call|>", "<function_call>"))
