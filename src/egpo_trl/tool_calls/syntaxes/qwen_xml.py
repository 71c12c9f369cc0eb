"""The syntax of Qwen3-Coder, Qwen3.5 and Nemotron 3 (their chat templates), and of Seed-OSS with its own tag."""

from ..syntax import Syntax, TaggedForm, tagged


def _form(tag: str) -> TaggedForm:
    return TaggedForm(
        call=f"<{tag}>\n<function={{name}}>\n",
        argument="<parameter={key}>\n{value}\n</parameter>\n",
        close=f"</function>\n</{tag}>\n",
    )


_READ, _WRITE = tagged(_form("tool_call"), _form("seed:tool_call"))

SYNTAX = Syntax("qwen_xml", _READ, _WRITE, marks=("<function=",), is_typed_by_schema=True)
