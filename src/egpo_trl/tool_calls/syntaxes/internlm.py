"""The syntax of InternLM 2.5 and 3 (Shanghai AI Laboratory, "chat_format.md")."""

from ..syntax import Form, Syntax, framed

_READ, _WRITE = framed(Form("<|action_start|><|plugin|>\n{call}<|action_end|>", arguments_key="parameters"))

SYNTAX = Syntax("internlm", _READ, _WRITE, marks=("<|action_start|>",))
