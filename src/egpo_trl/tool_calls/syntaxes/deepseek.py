"""The syntax of DeepSeek-V3, R1 (the JSON in a code block) and V3.1 (bare), by the chat templates that they ship."""

from ..syntax import Form, Syntax, framed

_BEGIN, _END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_V3_1 = "<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>"
_V3 = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{arguments}\n```<｜tool▁call▁end｜>"
_READ, _WRITE = framed(Form(_V3, _BEGIN, _END, between="\n"), Form(_V3_1, _BEGIN, _END))

SYNTAX = Syntax("deepseek", _READ, _WRITE, marks=(_BEGIN, "<｜tool▁call▁begin｜>"))
