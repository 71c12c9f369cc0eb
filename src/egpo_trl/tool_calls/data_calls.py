"""Finds calls that are written as data or as a command: YAML, TOML, tables, Lisp, a shell, an address.

A common mark does not exist. A call differs from a text in that the paragraph consists of the name of a function and pairs
of keys and values, without a sentence.
"""

import re
from collections.abc import Collection

_FENCE = re.compile(r"\s{0,64}(?:```|~~~)[\w ]{0,20}\Z")
_STRINGS = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|`[^`\n]*`|\{[^{}\n]*\}|\([^()\n]*\)")
_LETTERS = re.compile(r"[^\W\d_]+")
_VERB = r"(?:exec|calls?|calling|run|running|invok(?:e|ing)|execute|use|using|get|post|put)"
# What may be before the name in its line: marks, a command, or anything that ends with a mark which opens a value.
_MARKS = re.compile(rf"[\W_]{{0,16}}(?:{_VERB}[\W_]{{1,4}})?\Z", re.IGNORECASE)
_OPENS = re.compile(r"[:=/\\@$!|({\[<\"'`\u00ab\u3010]\W{0,4}\Z")
_LABEL = re.compile(r"\W{0,8}(?:tool|function|action|call)(?!s\b)\w{0,12}\W{1,8}\Z", re.IGNORECASE)
_SENTENCE_GOES_ON = re.compile(
    r"[`*_\"'\u2019\u201d)\],.!;]{0,3}\s[^\W\d_]+(?!\w*\s{0,4}[:=]\s{0,4}\S)|[^\n]*\w[.!?]\W{0,3}\Z|\W{0,8}\?(?!\w)"
)
_PAIR = re.compile(r"\W{0,16}\w[\w .'-]{0,40}[\"'`*\s]{0,4}(?:[:=|]|->)")
_VALUE = re.compile(r"\W{0,4}?[:|=]\W{0,8}\w")
_ARGUMENTS = re.compile(r"[\"'`]|\w[ \t]{0,4}[:=]|-\w|[{(\[]\s{0,4}\w|\?\w|\|\s{0,4}\w")
_DESCRIBES = re.compile(
    r"\W{0,16}(?:descri|purpose|reason|note|return|summary|usage|required|beschreib|\u63cf\u8ff0|\u8bf4\u660e)",
    re.IGNORECASE,
)
_OPTION = re.compile(r"\s--[a-z]")
_CALL_WORD = re.compile(
    r"tool|function|action|call|command|arg|param|input|://|\u5de5\u5177|\u884c\u52a8", re.IGNORECASE
)
_LIST_ITEM = re.compile(r"\s{0,16}(?:[-*\u2022]|\d+[.)])\s")


def holds_data_call(text: str, names: Collection[str]) -> bool:
    """Whether a text, or a paragraph of it, is a call of an offered function in a notation of data or commands."""
    paragraphs = [lines for part in re.split(r"\n[ \t]*\n|(?=```)|(?=~~~)", text) if (lines := _lines(part))]
    whole = len(paragraphs) == 1
    return any(_is_call(lines, names, whole) for lines in paragraphs)


def _lines(paragraph: str) -> list[str]:
    return [line for line in paragraph.split("\n") if _LETTERS.search(line) and not _FENCE.match(line)]


def _is_call(lines: list[str], names: Collection[str], is_whole: bool) -> bool:
    found = ((at, name, start) for at, line in enumerate(lines) for name in names if (start := _find(line, name)) >= 0)
    at, name, start = next(found, (0, "", 0))
    if not name:
        return False
    before, following = lines[at][:start], lines[at + 1 :]
    after = lines[at][start + len(name) :].lstrip("\"'`*")  # the quotes around the name are not of an argument
    is_word = name.isalpha() and name[1:] == name[1:].lower()  # such as `search`, which a text uses as a word
    if is_word and (at or not _MARKS.match(before)) and not any(map(_CALL_WORD.search, lines)):
        return False
    is_labelled = _OPENS.search(before) is not None
    is_sentence = _SENTENCE_GOES_ON.match(after) is not None and not (_OPTION.search(after) and not before.strip())
    if before.strip() in ("|", ".") or not (_MARKS.match(before) or is_labelled) or is_sentence:
        return False
    if len(_LETTERS.findall(_STRINGS.sub(" ", after))) > 2 and (is_word or not _PAIR.match(after)):
        return False
    if any(_DESCRIBES.match(line) for line in (after, *following)) or not all(
        map(_is_pair, [*lines[:at], *following])
    ):
        return False
    is_command = before.strip() == "$" and after.strip() != ""
    has_arguments = bool(following) or is_command or _ARGUMENTS.search(after) is not None
    if is_whole and not has_arguments:
        is_value = _LABEL.match(before) is not None or before.strip() in ("{{", "{%")
        return at == 0 and (is_value or (not is_word and _VALUE.match(after) is not None))
    # in a longer text, a list that describes a function and its parameters is not a call
    return is_whole or not all(map(_LIST_ITEM.match, following)) or _ARGUMENTS.search(after) is not None


def _find(line: str, name: str) -> int:
    """Where a name is in a line, not as part of a longer one, or -1."""
    start = line.find(name)
    while start >= 0 and (
        line[start - 1 : start].isalnum() or line[start + len(name) : start + len(name) + 1].isalnum()
    ):
        start = line.find(name, start + 1)
    return start


def _is_pair(line: str) -> bool:
    """Whether a line is a key with or without its value, a heading, or a comment."""
    stripped = line.strip()
    is_heading = stripped.startswith("#") or (stripped.startswith("[") and stripped.endswith("]"))
    return is_heading or _PAIR.match(line) is not None
