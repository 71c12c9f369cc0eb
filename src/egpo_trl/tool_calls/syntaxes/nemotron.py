"""The syntax of Nemotron Nano v2 and Super v1.5 (NVIDIA, their chat templates); Nemotron 3 writes Qwen's."""

from ..syntax import Form, Syntax, framed

_READ, _WRITE = framed(Form("{calls}", begin="<TOOLCALL>", end="</TOOLCALL>"))

SYNTAX = Syntax("nemotron", _READ, _WRITE, marks=("<TOOLCALL>",))
