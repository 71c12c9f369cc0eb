"""The syntax of Kimi K2 (Moonshot AI, "tool_call_guidance.md"): only the id names the function."""

from ..syntax import Form, Syntax, framed

_CALL = "<|tool_call_begin|>functions.{name}:{index}<|tool_call_argument_begin|>{arguments}<|tool_call_end|>"
_READ, _WRITE = framed(Form(_CALL, "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"))

SYNTAX = Syntax("kimi", _READ, _WRITE, marks=("<|tool_calls_section_begin|>", "<|tool_call_begin|>"))
