"""The syntax of GLM 4.5 to 4.7, by the chat templates that they ship: keys and values in tags of their own, no types."""

from ..syntax import Syntax, TaggedForm, tagged

_READ, _WRITE = tagged(
    TaggedForm(
        call="<tool_call>{name}\n",
        argument="<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n",
        close="</tool_call>\n",
    )
)

SYNTAX = Syntax("glm", _READ, _WRITE, marks=("<arg_key>",), is_typed_by_schema=True)
