"""Fuzzing the reward: mutated completions against an independent, slow oracle.

    python benchmarks/fuzz_reward.py --inputs 1000000

Right completions of rows with every type of argument are cut, spliced, and peppered with tags, quotes, brackets,
homoglyphs and numbers. Each verdict must come without an exception and within 50 ms, and each 1.0 must be one for the
oracle too, which shares no code with the package: a hand-written JSON parser, a parser over Python's tokenizer, and a
comparison of canonical forms. A tenth of the zeros is put to the oracle as well. Exits with 1 if anything is found.
"""

import argparse
import ast
import io
import json
import random
import re
import sys
import time
import tokenize
from collections import Counter
from fractions import Fraction
from typing import Any

from egpo_trl import ToolCallReward

PARAMETERS = {
    "a": {"type": "integer"}, "b": {"type": "number"}, "c": {"type": "string"}, "d": {"type": "boolean"},
    "e": {"type": "array", "items": {"type": "integer"}}, "g": {"type": "object"},
}  # fmt: skip
TOOLS = [{"name": name, "parameters": {"type": "object", "properties": PARAMETERS}} for name in ("f", "ns.h")]
REFERENCES: list[list[tuple[str, dict[str, Any]]]] = [
    [("f", {"a": 1})],
    [("f", {"b": 2.0, "c": "it's 5"}), ("ns.h", {})],
    [("ns.h", {"d": True, "e": [1, 2], "g": {"k": None, "l": [0.5]}})],
    [("f", {"a": -3}), ("f", {"a": 1}), ("f", {"c": "<tool_call>"})],
    [("f", {"c": 'é "x" \\ \n', "b": 1})],
    [],
]
PIECES = [
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>", '"', "'", "\\", "{", "}", "[", "]", "(",
    ")", ",", ":", "=", " ", "\n", "\t", "\x00", "\x03", "\ud800", "\\ud800", "\\u0061", "é", "\u0430", "ｆ", "\u200b", "1",
    "0", "-", "+", ".", "e9", "1e999", "9" * 30, "NaN", "Infinity", "true", "True", "null", "None", "f", "ns.h", "a",
    '"a": 1, ', "a=1, ", "f(a=1)", '{"name": "f", "arguments": {"a": 1}}', "**{}", "*", "lambda: 1", "f''", "b''", "#", ";",
    "...", "1_0", "0x1", "1j", "// x", "/**/", "</", "<|im_end|>", "text ",
]  # fmt: skip
CALL_PIECES = [
    "<tool_call>", "</tool_call>", "<answer>", "</answer>", "<think>", "</think>", "<|im_end|>", '"name":', '"arguments":',
    '"parameters":',
]  # fmt: skip
CALL = re.compile(r"(?<![\w.])(?:f|ns\.h)\((?:[ab]=(?!=)|\))")
MAX_DEPTH, MAX_CALLS, MAX_CHARACTERS, MAX_PIECES = 64, 128, 100_000, 2000  # the documented bounds


class Wrong(Exception):
    """The oracle says that this is no answer, or not the right one."""


# Strict JSON, one character after the other


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


# Calls over Python's tokens


class Pythonic:
    def __init__(self, text: str) -> None:
        if re.search("[\ud800-\udfff\x00]", text):
            raise Wrong("character")
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


# The oracle


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


DECODERS = {"hermes": hermes_calls, "json": json_calls, "pythonic": pythonic_calls}


def oracle(completion: str, syntax: str, reference: list[tuple[str, dict[str, Any]]]) -> bool | None:
    """Whether a completion is worth 1.0; `None` for a text of which only a definition of fragments could tell."""
    try:
        answer = answer_of(completion)
        if len(answer) > MAX_CHARACTERS:
            raise Wrong("long")
        if not reference:
            dense = re.sub(r"\s+(?=[:=)])|(?<=[(])\s+", "", answer)
            if not dense or CALL.search(dense) or any(piece in dense for piece in CALL_PIECES):
                return False
            return None if set(dense) & set("<>[](){}=:|") else True
        calls = DECODERS[syntax](answer)
        return len(calls) <= MAX_CALLS and multiset(calls) == multiset(reference)
    except Wrong:
        return False


# Inputs


def write(syntax: str, calls: list[tuple[str, dict[str, Any]]], rng: random.Random) -> str:
    head = rng.choice(["<think>so</think>\n", "<think>\nso it is\n</think>\n\n", "<think></think>"])
    if not calls:
        return head + "No function fits this."
    calls = rng.sample(calls, len(calls))
    if syntax == "pythonic":
        written = ", ".join(
            f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})" for name, arguments in calls
        )
        return head + rng.choice(["[{}]", "<answer>[{}]</answer>"]).replace("{}", written)
    key = rng.choice(["arguments", "parameters"]) if syntax == "json" else "arguments"
    objects = [
        json.dumps({"name": name, key: arguments}, ensure_ascii=rng.random() < 0.5) for name, arguments in calls
    ]
    if syntax == "json":
        return head + (f"[{', '.join(objects)}]" if len(objects) > 1 or rng.random() < 0.5 else objects[0])
    return head + "\n".join(f"<tool_call>\n{item}\n</tool_call>" for item in objects)


def mutate(text: str, other: str, rng: random.Random) -> str:
    """The completion with some changes, mostly behind the chain of thought."""
    head, closing, text = text.partition("</think>") if rng.random() < 0.8 else ("", "", text)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 5])):
        i, j = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        j = min(j, i + rng.choice([1, 1, 2, 5, 40]))
        kind = rng.randrange(8)
        if kind == 0:
            text = text[:i] + text[j:]
        elif kind == 1:
            text = text[:i] + rng.choice(PIECES) + text[i:]
        elif kind == 2:
            text = text[:i] + rng.choice(PIECES) + text[j:]
        elif kind == 3:
            text = text[:j] + text[i:]
        elif kind == 4:
            text = text[:i] + other[rng.randrange(len(other) + 1) :]
        elif kind == 5:
            text = text[:i] + text[i:j].swapcase() + text[j:]
        elif kind == 6:
            text = text[:i] + text[i:j] * rng.choice([2, 3, 70]) + text[j:]
        else:
            text = text[:i]
    return head + closing + text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    tools = json.dumps(TOOLS)
    references = [json.dumps([{"name": n, "arguments": a} for n, a in reference]) for reference in REFERENCES]
    rewards = {syntax: ToolCallReward(syntax=syntax) for syntax in DECODERS}
    verdicts: Counter = Counter()
    found: Counter = Counter()
    slowest, checked, start = 0.0, 0, time.time()
    for number in range(options.inputs):
        syntax = rng.choice(list(DECODERS))
        index = rng.randrange(len(REFERENCES))
        text = write(syntax, REFERENCES[index], rng)
        text = mutate(text, write(rng.choice(list(DECODERS)), rng.choice(REFERENCES), rng), rng)
        reward = rewards[syntax]
        try:
            began = time.perf_counter()
            verdict = reward.judge(text, references[index], tools)
            seconds = time.perf_counter() - began
        except Exception as error:
            found["exception"] += 1
            print(f"exception: {error!r} on {syntax} {text!r}")
            continue
        if seconds > 0.05:  # twice more, in case the machine was busy
            for _ in range(2):
                began = time.perf_counter()
                reward.judge(text, references[index], tools)
                seconds = min(seconds, time.perf_counter() - began)
            if seconds > 0.05:
                found["slow"] += 1
                print(f"slow: {1000 * seconds:.0f} ms on {syntax} {text[:200]!r}")
        slowest = max(slowest, seconds)
        verdicts[verdict.reason] += 1
        if verdict.score == 1.0 or number % 10 == 0:
            checked += 1
            right = oracle(text, syntax, REFERENCES[index])
            if right is not None and right is not (verdict.score == 1.0):
                name = "false 1.0" if verdict.score else "false 0.0"
                found[name] += 1
                if found[name] <= 20:
                    print(f"{name}: {verdict.reason} on {syntax} {text!r}")
    print(f"{options.inputs} inputs, seed {options.seed}, {time.time() - start:.0f} s; {checked} put to the oracle")
    print(f"slowest verdict {1000 * slowest:.1f} ms; found: {dict(found) or 'nothing'}")
    print("verdicts: " + ", ".join(f"{reason} {count}" for reason, count in verdicts.most_common()))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
