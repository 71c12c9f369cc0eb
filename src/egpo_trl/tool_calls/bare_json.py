"""The syntax of Llama-3.1 and xLAM: one bare JSON object `{"name": …, "parameters": {…}}`, or a list of such objects."""

from collections.abc import Collection

from .calls import MAX_CALLS, Answer, InvalidJSON, State, call_from_object, decode_json
from .fragments import has_fragment, read_text

_ARGUMENT_KEYS = ("arguments", "parameters")


def read_bare_json(text: str, function_names: Collection[str] = (), allow_text: bool = False) -> Answer:
    """
    Read an answer in the bare JSON syntax. The arguments stand under `arguments` or `parameters`.

    Args:
        text (`str`):
            The answer: what follows the chain of thought.
        function_names (`Collection[str]`, *optional*):
            Names of the functions that the row offers, to tell text from fragments of a call.
        allow_text (`bool`, *optional*, defaults to `False`):
            Whether text may stand before and behind the JSON. It starts at the first bracket or brace.

    Returns:
        [`Answer`]:
            CALL, TEXT or MALFORMED.
    """
    text = text.strip()
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    answer = None if start == 0 else read_text(text, function_names, "json")
    if answer is not None and (start < 0 or answer.state is State.TEXT):
        return answer
    try:
        value, end = decode_json(text, start)
        items = value if isinstance(value, list) else [value]
        calls = tuple(call_from_object(item, _ARGUMENT_KEYS) for item in items)
    except (InvalidJSON, ValueError):
        return answer or read_text(text, function_names, "json")
    if not 0 < len(calls) <= MAX_CALLS:
        return Answer(State.MALFORMED, reason="malformed_call")
    beside = text[:start] + "\n" + text[end:]
    if beside.strip() and not (allow_text and not has_fragment(beside, function_names, "json")):
        return Answer(State.MALFORMED, reason="text_beside_calls")
    return Answer(State.CALL, calls)
