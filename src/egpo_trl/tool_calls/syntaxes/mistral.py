"""
The syntax of Mistral (mistral-common's tokenizers, "tokenizers/instruct.py"): one list up to v7, one marker a call since
v11, with the id of the call in v11.
"""

from ..syntax import Form, Syntax, framed

_READ, _WRITE = framed(
    Form("{calls}", begin="[TOOL_CALLS]", other_keys=("id",)),
    Form("[TOOL_CALLS]{name}[CALL_ID]{id}[ARGS]{arguments}"),
    Form("[TOOL_CALLS]{name}[ARGS]{arguments}"),
    Form("[TOOL_CALLS]{name}{arguments}"),
)

SYNTAX = Syntax("mistral", _READ, _WRITE, marks=("[TOOL_CALLS]",))
