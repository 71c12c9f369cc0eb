"""The syntax of MiniMax-M2 ("tool_calling_guide.md"): tagged arguments without types."""

from ..syntax import Syntax, TaggedForm, tagged

_READ, _WRITE = tagged(
    TaggedForm(
        call='<invoke name="{name}">\n',
        argument='<parameter name="{key}">{value}</parameter>\n',
        close="</invoke>\n",
        begin="<minimax:tool_call>\n",
        end="</minimax:tool_call>",
    )
)

SYNTAX = Syntax("minimax_m2", _READ, _WRITE, marks=("<minimax:tool_call>",), is_typed_by_schema=True)
