"""The syntax of MiniMax-M1 ("function_call_guide.md"): one JSON object a line; Hunyuan and Jamba write one list instead."""

from ..syntax import Form, Syntax, framed

_BEGIN, _END = "<tool_calls>\n", "\n</tool_calls>"
_READ, _WRITE = framed(Form("{call}", _BEGIN, _END, between="\n"), Form("{calls}", _BEGIN, _END))

SYNTAX = Syntax("minimax_m1", _READ, _WRITE, marks=("<tool_calls>",))
