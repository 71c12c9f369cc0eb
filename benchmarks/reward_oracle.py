"""An independent, slow judge of completions, which shares no code with the package: see fuzz_reward.py.

A hand-written JSON parser, a parser over Python's tokenizer, and a comparison of canonical forms.
"""

import ast
import io
import re
import tokenize
from collections import Counter
from fractions import Fraction
from typing import Any

PARAMETERS = {
    "a": {"type": "integer"}, "b": {"type": "number"}, "c": {"type": "string"}, "d": {"type": "boolean"},
    "e": {"type": "array", "items": {"type": "integer"}}, "g": {"type": "object"},
}  # fmt: skip
CALL = re.compile(r"(?<![\w.])(?:f|ns\.h)\([ab]=(?!=)")
MARKERS = ["<tool_call>", "</tool_call>", "<think>", "</think>", "<|im_end|>"]
MAX_DEPTH, MAX_CALLS, MAX_CHARACTERS, MAX_PIECES = 64, 128, 100_000, 2000  # the documented bounds


class Wrong(Exception):
    """The oracle says that this is no answer, or not the right one."""


class Json:
    def __init__(self, text: str, at: int = 0) -> None:
        self.text, self.at = text, at

    def skip(self) -> None:
        while self.text[self.at : self.at + 1] in (" ", "\t", "\n", "\r") and self.at < len(self.text):
            self.at += 1

    def take(self, token: str) -> None:
        if not self.text.startswith(token, self.at):
            raise Wrong(f"{token!r} expected")
        self.at += len(token)

    def value(self, depth: int = 0) -> Any:
        if depth > MAX_DEPTH:
            raise Wrong("deep")
        self.skip()
        head = self.text[self.at : self.at + 1]
        if head == "{":
            return self.object(depth)
        if head == "[":
            return self.array(depth)
        if head == '"':
            return self.string()
        for word, meaning in (("true", True), ("false", False), ("null", None)):
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return meaning
        number = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?").match(self.text, self.at)
        if number is None:
            raise Wrong("no value")
        self.at = number.end()
        if number.group(2) is None and number.group(3) is None:
            if len(number.group().lstrip("-")) > 4300:
                raise Wrong("digits")
            return int(number.group())
        value = float(number.group())
        if value in (float("inf"), float("-inf")):
            raise Wrong("range")
        return value

    def object(self, depth: int) -> dict[str, Any]:
        self.take("{")
        out: dict[str, Any] = {}
        self.skip()
        if self.text.startswith("}", self.at):
            self.at += 1
            return out
        while True:
            self.skip()
            key = self.string()
            if key in out:
                raise Wrong("repeated key")
            self.skip()
            self.take(":")
            out[key] = self.value(depth + 1)
            self.skip()
            if self.text.startswith("}", self.at):
                self.at += 1
                return out
            self.take(",")

    def array(self, depth: int) -> list[Any]:
        self.take("[")
        out: list[Any] = []
        self.skip()
        if self.text.startswith("]", self.at):
            self.at += 1
            return out
        while True:
            out.append(self.value(depth + 1))
            self.skip()
            if self.text.startswith("]", self.at):
                self.at += 1
                return out
            self.take(",")

    def string(self) -> str:
        self.take('"')
        units: list[str] = []
        while True:
            char = self.text[self.at : self.at + 1]
            self.at += 1
            if char == '"':
                break
            if char == "" or char < " ":
                raise Wrong("string")
            if char == "\\":
                escape = self.text[self.at : self.at + 1]
                self.at += 1
                if escape == "u":
                    digits = self.text[self.at : self.at + 4]
                    if not re.fullmatch("[0-9a-fA-F]{4}", digits):
                        raise Wrong("escape")
                    self.at += 4
                    char = chr(int(digits, 16))
                elif escape in '"\\/bfnrt' and escape:
                    char = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(escape, escape)
                else:
                    raise Wrong("escape")
            units.append(char)
        try:  # pairs of surrogates become one character, lone ones are an error
            return "".join(units).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise Wrong("surrogate") from None


class Pythonic:
    def __init__(self, text: str) -> None:
        if re.search("[\ud800-\udfff\x00]", text):
            raise Wrong("character")
        text = text.replace("\r\n", "\n").replace("\r", "\n")  # as Python reads source code
        try:
            tokens = list(tokenize.generate_tokens(io.StringIO(f"({text}\n)").readline))
        except (tokenize.TokenError, SyntaxError, IndentationError):
            raise Wrong("tokens") from None
        quoted = sum(token.string.count("\\") for token in tokens if token.type == tokenize.STRING)
        if quoted != text.count("\\") or any(token.type == tokenize.COMMENT for token in tokens):
            raise Wrong("comment or continued line")
        dull = (tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER)
        self.tokens = [token for token in tokens if token.type not in dull][1:-1]
        if not tokens or tokens[0].string != "(" or [t for t in tokens if t.type == tokenize.OP][-1].string != ")":
            raise Wrong("shape")
        self.at = 0

    def next(self, wanted: str | None = None) -> str:
        if self.at >= len(self.tokens):
            raise Wrong("end")
        token = self.tokens[self.at]
        if wanted is not None and (token.type != tokenize.OP or token.string != wanted):
            raise Wrong(f"{wanted} expected")
        self.at += 1
        return token.string

    def peek(self, wanted: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at].string == wanted

    def name(self) -> str:
        token = self.next()
        if not re.fullmatch("[A-Za-z_][A-Za-z_0-9]*", token):
            raise Wrong("name")
        return token

    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        out = []
        self.next("[")
        while not self.peek("]"):
            out.append(self.call())
            if not self.peek("]"):
                self.next(",")
        self.next("]")
        if self.at != len(self.tokens) or not out:
            raise Wrong("rest")
        return out

    def call(self, depth: int = 0) -> tuple[str, dict[str, Any]]:
        if self.peek("(") and depth < MAX_DEPTH:  # parentheses around a call mean nothing
            self.next("(")
            call = self.call(depth + 1)
            self.next(")")
            return call
        name = self.name()
        while self.peek("."):
            self.next(".")
            name += "." + self.name()
        self.next("(")
        arguments: dict[str, Any] = {}
        while not self.peek(")"):
            key = self.name()
            if key in arguments:
                raise Wrong("repeated argument")
            self.next("=")
            arguments[key] = self.value()
            if not self.peek(")"):
                self.next(",")
        self.next(")")
        return name, arguments

    def value(self, depth: int = 0) -> Any:
        if depth > MAX_DEPTH or self.at >= len(self.tokens):
            raise Wrong("value")
        token = self.tokens[self.at]
        if token.string in ("[", "("):
            return self.sequence(depth)
        if token.string == "{":
            return self.mapping(depth)
        self.at += 1
        words = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
        if token.string in words:
            return words[token.string]
        if token.type == tokenize.STRING:
            text = token.string
            while self.at < len(self.tokens) and self.tokens[self.at].type == tokenize.STRING:
                text += " " + self.tokens[self.at].string
                self.at += 1
            return self.literal(text, str)
        if token.string in ("-", "+"):
            number = self.value(depth + 1) if self.tokens[self.at : self.at + 1] else None
            if self.tokens[self.at - 1].type != tokenize.NUMBER or isinstance(number, bool):
                raise Wrong("sign")
            if self.tokens[self.at - 2] is not token:
                raise Wrong("signs")
            return -number if token.string == "-" else number
        if token.type == tokenize.NUMBER:
            return self.literal(token.string, (int, float))
        raise Wrong("value")

    def literal(self, text: str, kind: Any) -> Any:
        try:
            value = ast.literal_eval(text)
        except (SyntaxError, ValueError, MemoryError):
            raise Wrong("literal") from None
        if not isinstance(value, kind) or value in (float("inf"),):
            raise Wrong("literal")
        if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
            raise Wrong("surrogate")
        return value

    def sequence(self, depth: int) -> Any:
        closing = {"[": "]", "(": ")"}[self.next()]
        out, comma = [], False
        while not self.peek(closing):
            out.append(self.value(depth + 1))
            if not self.peek(closing):
                self.next(",")
                comma = True
        self.next(closing)
        if closing == ")" and len(out) == 1 and not comma:
            return out[0]  # parentheses, no tuple
        return out

    def mapping(self, depth: int) -> dict[str, Any]:
        self.next("{")
        out: dict[str, Any] = {}
        while not self.peek("}"):
            key = self.value(depth + 1)
            if not isinstance(key, str) or key in out:
                raise Wrong("key")
            self.next(":")
            out[key] = self.value(depth + 1)
            if not self.peek("}"):
                self.next(",")
        self.next("}")
        return out


def canonical(value: Any, schema: Any) -> Any:
    schema = schema or {}
    if value is None or isinstance(value, (bool, str)):
        return (type(value).__name__, value)
    if isinstance(value, (int, float)):
        is_number = schema.get("type") == "number"
        return ("number", Fraction(value)) if is_number else (type(value).__name__, Fraction(value))
    if isinstance(value, list):
        return ("list", tuple(canonical(item, schema.get("items")) for item in value))
    return ("dict", frozenset((key, canonical(item, None)) for key, item in value.items()))


def multiset(calls: list[tuple[str, dict[str, Any]]]) -> Counter:
    return Counter(
        (name, frozenset((key, canonical(value, PARAMETERS.get(key))) for key, value in arguments.items()))
        for name, arguments in calls
    )


def answer_of(completion: str) -> str:
    text = completion.lstrip(" \t\r\n\f\v")
    if not text.startswith("<think>"):
        raise Wrong("template")
    thought, closing, answer = text[len("<think>") :].partition("</think>")
    if not closing or "<think>" in thought:
        raise Wrong("template")
    return answer.strip()


def hermes_calls(answer: str) -> list[tuple[str, dict[str, Any]]]:
    calls = []
    while answer:
        if not answer.startswith("<tool_call>"):
            raise Wrong("text")
        body = answer[len("<tool_call>") :].lstrip()
        parser = Json(body)
        calls.append(call_of(parser.value()))
        answer = body[parser.at :].lstrip()
        if not answer.startswith("</tool_call>"):
            raise Wrong("tag")
        answer = answer[len("</tool_call>") :].lstrip()
    return calls


def json_calls(answer: str) -> list[tuple[str, dict[str, Any]]]:
    parser = Json(answer)
    value = parser.value()
    if answer[parser.at :].strip():
        raise Wrong("rest")
    return [call_of(item, ("arguments", "parameters")) for item in (value if isinstance(value, list) else [value])]


def call_of(value: Any, keys: tuple[str, ...] = ("arguments",)) -> tuple[str, dict[str, Any]]:
    if not isinstance(value, dict) or len(value) != 2 or not isinstance(value.get("name"), str) or not value["name"]:
        raise Wrong("call")
    ((key, arguments),) = [(key, item) for key, item in value.items() if key != "name"]
    if key not in keys or not isinstance(arguments, dict):
        raise Wrong("call")
    return value["name"], arguments


def pythonic_calls(answer: str) -> list[tuple[str, dict[str, Any]]]:
    if answer.startswith("<answer>") and answer.endswith("</answer>") and len(answer) >= 17:
        answer = answer[8:-9].strip()
    if sum(answer.count(piece) for piece in ",=:;") > MAX_PIECES:
        raise Wrong("pieces")
    if not answer.startswith("["):
        raise Wrong("text")
    return Pythonic(answer).calls()


DECODERS = {"hermes": hermes_calls, "json": json_calls, "pythonic": pythonic_calls, "native": hermes_calls}


def beside_of(answer: str, syntax: str) -> tuple[str, str]:
    """The part of an answer that holds its calls, and the text beside it, where text may stand there."""
    if syntax == "pythonic":
        wrapped = re.fullmatch(r"<answer>(.*)</answer>", answer, re.DOTALL)
        answer = wrapped[1].strip() if wrapped else answer
        opening = re.search(r"(?:<answer>\s*)?\[\s*[^\W\d][\w.]*\(", answer)
        start, end = opening.start() if opening else 0, answer.rfind("]") + 1
        end += len("</answer>") if answer.startswith("</answer>", end) else 0
    elif syntax == "json":
        start = min(at for at in (answer.find("{"), answer.find("["), len(answer)) if at >= 0)
        parser = Json(answer, start)
        parser.value()
        end = parser.at
    else:
        calls = re.findall(r"<tool_call>.*?</tool_call>", answer, re.DOTALL)
        return "".join(calls), re.sub(r"<tool_call>.*?</tool_call>", "\n", answer, flags=re.DOTALL)
    return answer[start:end], answer[:start] + "\n" + answer[end:]


def is_text(text: str) -> bool | None:
    """Whether a text holds no call; `None` where only the package's definition could tell."""
    dense = re.sub(r"\s+(?=[:=)])|(?<=[(])\s+", "", text)
    if not dense or CALL.search(dense) or any(marker in dense for marker in MARKERS):
        return False
    if '"arguments":' in dense and not set(dense) & set("`$\\~"):
        return False
    is_plain = re.search(r"\w", dense) and not set(dense) & set("<>[](){}=:|&\\\u200b\x00\x03")
    if re.search(r"(?<!\w)(?:f|ns\.h)(?!\w)", text) and set(dense) & set("\"'-?`"):
        return None  # an argument, as a shell takes it, or a quotation
    return True if is_plain and len(dense) <= 1000 else None


def oracle(
    completion: str, syntax: str, reference: list[tuple[str, dict[str, Any]]], allow_text: bool = False
) -> bool | None:
    """Whether a completion is worth 1.0; `None` where only a definition of text could tell."""
    try:
        answer = answer_of(completion)
        answer = re.sub(r"<\|(?:im_end|end)\|>\Z", "", answer).strip()  # the end of a turn is not text
        if len(answer) > MAX_CHARACTERS:
            raise Wrong("long")
        if not reference:
            return is_text(answer)
        if not allow_text:
            calls = DECODERS[syntax](answer)
            return len(calls) <= MAX_CALLS and multiset(calls) == multiset(reference)
        part, beside = beside_of(answer, syntax)
        calls = DECODERS[syntax](part)
        right = len(calls) <= MAX_CALLS and multiset(calls) == multiset(reference)
        fits = is_text(beside) if beside.strip() else True
        return right and fits if right is False or fits is not None else None
    except Wrong:
        return False if not allow_text or syntax == "json" else None if "</tool_call>" in completion[-2000:] else False
