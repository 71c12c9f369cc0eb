"""The syntax of Command R7B and A (Cohere, "Tool use"), and of Command R before them, which lacks tokens for it."""

from collections.abc import Collection

from ..calls import Answer, State
from ..syntax import Form, Syntax, framed

_FRAMED, _WRITE = framed(
    Form("{calls}", "<|START_ACTION|>", "<|END_ACTION|>", "", "tool_name", "parameters", ("tool_call_id",)),
    Form("{calls}", "Action: ```json\n", "\n```", "", "tool_name", "parameters"),
)
_OPEN, _CLOSE = "<|START_RESPONSE|>", "<|END_RESPONSE|>"


def read(text: str, function_names: Collection[str] = (), allow_text: bool = False) -> Answer:
    """Reads calls, or a text between the tags of a response; where the prompt opened it, only the closing one is there."""
    text = text.strip()
    answer = _FRAMED(text, function_names, allow_text)
    if answer.state is State.CALL or not text.endswith(_CLOSE):
        return answer
    return _FRAMED(text.removeprefix(_OPEN).removesuffix(_CLOSE), function_names, False)


SYNTAX = Syntax(
    "cohere",
    read,
    _WRITE,
    marks=("<|START_ACTION|>", "Action:"),
    write_text=lambda text: f"{_OPEN}{text}{_CLOSE}",
)
