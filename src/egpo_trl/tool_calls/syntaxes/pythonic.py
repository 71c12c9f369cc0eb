"""The syntax of the paper's Figure 8 and of BFCL's prompts: `[f(a=1, b='x'), g()]`, read by Python's own parser.

Only the syntax tree is looked at; nothing is evaluated.
"""

import ast
import math
import re
import unicodedata
import warnings
from collections.abc import Collection, Iterable
from typing import Any

from ..calls import MAX_CALLS, MAX_DEPTH, Answer, InvalidJSON, State, ToolCall, check_value
from ..fragments import has_fragment, read_text
from ..syntax import Syntax

_WRAPPED = re.compile(
    r"<answer>(.*)</answer>|<\|tool_call_start\|>(.*)<\|tool_call_end\|>|<\|python_start\|>(.*)<\|python_end\|>",
    re.DOTALL,
)
_OPENING = re.compile(r"\[\s*[^\W\d][\w.]*\(")
_WARNS = re.compile(r"\\|\d\.?[A-Za-z]")  # what Python's parser may warn about
_MAX_PYTHONIC = 32_000  # characters: the parser is slow on long chains of operators
_MAX_PIECES = 2000  # commas and the like: the parser takes about 10 microseconds for each
_MAX_INTEGER = 10**4300  # as many digits as Python writes; more cannot be shown or compared as JSON
_JSON_NAMES = {"true": True, "false": False, "null": None}
_QUOTED = (
    r"""'''(?:[^\\']|\\.|'(?!''))*(?:''')?|\"\"\"(?:[^\\"]|\\.|"(?!""))*(?:\"\"\")?"""
    r"""|'(?:[^'\\\n]|\\.)*'?|"(?:[^"\\\n]|\\.)*"?"""
)
_STRING = re.compile(_QUOTED, re.DOTALL)  # a string literal, closed or not
# The same, or what makes Python's parser recurse: brackets and prefix operators.
_NESTING = re.compile(_QUOTED + r"|[(\[{]|[)\]}]|(?:[-+~]\s*|\bnot\b\s*){8,}", re.DOTALL)


class _NotACall(ValueError):
    """The syntax tree is anything but a list of calls with literal keyword arguments."""


class _Comment(_NotACall):
    """There is a comment or a continued line, which the syntax tree does not show."""


def read_pythonic(text: str, function_names: Collection[str] = (), allow_text: bool = False) -> Answer:
    """
    Read an answer in the pythonic syntax: a list of calls with literal keyword arguments, optionally inside one
    `<answer>…</answer>`, or between the tokens of LFM2 (`<|tool_call_start|>`, `<|tool_call_end|>`) or of Llama 4
    (`<|python_start|>`, `<|python_end|>`). `True` and `true`, `None` and `null` mean the same; tuples are lists;
    comments are not allowed.
    """
    text = text.strip()
    wrapped = _WRAPPED.fullmatch(text)
    if wrapped:
        text = next(inner for inner in wrapped.groups() if inner is not None).strip()
    whole, beside = text, ""
    if allow_text or not text.startswith("["):
        opening = _OPENING.search(text)
        end = text.rfind("]") + 1
        if opening is None or end <= opening.end():
            return read_text(text, function_names, "pythonic")
        before, behind = text[: opening.start()].rstrip(), text[end:].lstrip()
        if before.endswith("<answer>") and behind.startswith("</answer>"):
            before, behind = before.removesuffix("<answer>"), behind.removeprefix("</answer>")
        beside = f"{before}\n{behind}"
        if beside.strip() and not (allow_text and _is_plain(beside, function_names)):
            answer = read_text(text, function_names, "pythonic")
            return answer if answer.state is State.TEXT else answer._replace(reason="text_beside_calls")
        text = text[opening.start() : end]
    try:
        calls = _calls(text)
        if beside.strip() and function_names and not any(call.name in function_names for call in calls):
            answer = read_text(whole, function_names, "pythonic")  # `[P(X=3)]` in maths is not a call
            return answer if answer.state is State.TEXT else Answer(State.CALL, calls)
        return Answer(State.CALL, calls)
    except (_NotACall, InvalidJSON) as error:
        answer = read_text(whole, function_names, "pythonic")
        if answer.state is State.MALFORMED and _ends_early(text, error):
            answer = answer._replace(reason="text_beside_calls")
        return answer


def _is_plain(beside: str, function_names: Collection[str]) -> bool:
    """Whether a text beside calls holds no piece of a call: its own tags are one in code too."""
    return not any(tag in beside for tag in ("<answer>", "</answer>")) and not has_fragment(
        beside, function_names, "pythonic"
    )


def _ends_early(text: str, error: Exception) -> bool:
    """Whether the list of calls is invalid only because of text after it or a comment in it."""
    end = text.rfind("]") + 1
    if isinstance(error, _Comment) or not 0 < end < len(text):
        return isinstance(error, _Comment)
    try:
        return bool(_calls(text[:end]))
    except (_NotACall, InvalidJSON):
        return False


def read_literal(text: str) -> Any:
    """Read a Python literal as a JSON value, such as the `{'a': True}` that `repr` writes."""
    if not text.strip():
        raise _NotACall("empty")
    call = _calls(f"[f(value=(\n{text}\n))]")
    if len(call) != 1 or call[0].arguments.keys() != {"value"}:
        raise _NotACall("more than one literal")
    return call[0].arguments["value"]


def _check_nesting(text: str) -> None:
    if len(text) > _MAX_PYTHONIC or (len(text) > _MAX_PIECES and _count(text, ",=:;") > _MAX_PIECES):
        raise _NotACall("too long")
    if "#" in text or "\\" in text or not text.isascii():
        code = _STRING.sub("''", text)
        if "#" in code or "\\" in code:
            raise _Comment("a comment or a continued line")
        # Python normalises identifiers (a full-width letter becomes an ASCII one); a call must be what was written.
        if not unicodedata.is_normalized("NFKC", code):
            raise _NotACall("a name that is not written plainly")
    if _count(text, "([{-+~") + text.count("not") <= MAX_DEPTH:
        return  # nothing to nest deeply with
    depth = 0
    for match in _NESTING.finditer(text):
        piece = match.group()
        if piece[0] in "([{":
            depth += 1
        elif piece[0] in ")]}":
            depth -= 1
        elif piece[0] not in "'\"":
            raise _NotACall("a pile of operators")
        elif len(piece) < 2 or piece[-1] != piece[0]:
            raise _NotACall("a string that does not end")
        if depth > MAX_DEPTH:
            raise _NotACall("nested too deeply")


def _count(text: str, characters: str) -> int:
    total = 0
    for character in characters:
        total += text.count(character)
    return total


def _calls(text: str) -> tuple[ToolCall, ...]:
    _check_nesting(text)
    try:
        if _WARNS.search(text):  # invalid escapes in the model's strings do not concern the user
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text, mode="eval").body
        else:
            tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise _NotACall(str(error)) from None
    if not isinstance(tree, ast.List) or not 0 < len(tree.elts) <= MAX_CALLS:
        raise _NotACall("not a list of calls")
    return tuple(_call(node, text) for node in tree.elts)


def _call(node: ast.expr, source: str) -> ToolCall:
    if not isinstance(node, ast.Call) or node.args:
        raise _NotACall("not a call with keyword arguments")
    name = _dotted_name(node.func)
    arguments: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise _NotACall("starred or repeated argument")
        arguments[keyword.arg] = _literal(keyword.value)
    if not source.isascii() or "\\" in source:
        check_value(arguments)  # a lone surrogate
    return ToolCall(name, arguments)


def _dotted_name(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise _NotACall("the function is not a name")
    return ".".join([node.id, *reversed(parts)])


def _literal(node: ast.expr, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise _NotACall("nested too deeply")
    if isinstance(node, ast.Constant):
        return _json_constant(node.value)
    if isinstance(node, ast.Name) and node.id in _JSON_NAMES:
        return _JSON_NAMES[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        operand = node.operand.value if isinstance(node.operand, ast.Constant) else None
        if isinstance(operand, (int, float)) and not isinstance(operand, bool):
            return _json_constant(-operand if isinstance(node.op, ast.USub) else operand)
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(item, depth + 1) for item in node.elts]
    if isinstance(node, ast.Dict):
        return _literal_dict(node, depth)
    raise _NotACall("an argument that is not a literal")


def _literal_dict(node: ast.Dict, depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key_node, item in zip(node.keys, node.values, strict=True):
        key = key_node.value if isinstance(key_node, ast.Constant) else None
        if not isinstance(key, str) or key in value:
            raise _NotACall("a key that is not a string, or repeated")
        value[key] = _literal(item, depth + 1)
    return value


def _json_constant(value: Any) -> Any:
    if isinstance(value, int) and abs(value) >= _MAX_INTEGER:
        raise _NotACall("an integer that JSON does not read")  # Python writes no longer one in decimal
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise _NotACall("a constant that JSON does not have")


def write_calls(calls: Iterable[ToolCall]) -> str:
    """Writes calls as a list, such as `[f(a=1, b='x'), g()]`."""
    written = (f"{call.name}({', '.join(f'{k}={v!r}' for k, v in call.arguments.items())})" for call in calls)
    return f"[{', '.join(written)}]"


SYNTAX = Syntax("pythonic", read_pythonic, write_calls, marks=("<|tool_call_start|>", "<|tool_list_start|>"))
