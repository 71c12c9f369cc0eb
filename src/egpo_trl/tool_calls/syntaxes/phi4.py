"""The syntax of Phi-4-mini (Microsoft, model card and PhiCookBook): a list of calls after `functools`, or between tags."""

from ..syntax import Form, Syntax, framed

_READ, _WRITE = framed(
    Form("{calls}", begin="functools"), Form("{calls}", begin="<|tool_call|>", end="<|/tool_call|>")
)

SYNTAX = Syntax("phi4", _READ, _WRITE, marks=("functools", "<|/tool_call|>", "<|tool|>"))
