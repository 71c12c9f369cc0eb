r"""Tells a text answer from a call that went wrong, or that was written for another parser.

Four things make an answer MALFORMED instead of TEXT: nothing visible in it; a marker of tool calls (a tag or a special
token of any model family); the shape of the run's own syntax outside code, maths and links; and an offered function used
as a call, in any dialect. Everything else is text: Markdown, LaTeX, JSON, CSS, names of functions in a sentence. All
patterns are linear in the length of the text: no unbounded repetition follows another on the same characters.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence

from .calls import MAX_CHARACTERS, Answer, State, ToolCall
from .data_calls import holds_data_call

_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufffd")  # letters or symbols to Unicode that show nothing
_ONLY_SYNTAX = frozenset("[]{}()<>\"'`,:;=|\\/ \t\r\n\f\v")
_WORD = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
)  # letters of other scripts part names
_NAMESPACES = ("functions.", "function.", "tools.", "tool.", "api.", "default_api.", "multi_tool_use.")

# Tags and special tokens of tool calls. They count wherever they are, in code too: a serving parser reads them there.
_MARKER = re.compile(
    r"<\s{0,8}/?\s{0,8}(?:\w{1,20}:)?(?:tool_?calls?|tool_?responses?|function_?calls?|tool_code|arg_key|arg_value|think)\b"
    r"|_calls?>|\u273f(?:FUNCTION|ARGS|RESULT|RETURN)\u273f"
    r"|<\|[\w\u2581./-]{2,40}\|?>|<[a-z_]{3,24}\|>"
    r"|<\|(?:im_|python_|tool|start|end|channel|message|call|action|begin|eo[tm]_|constrain)"
    r"|(?-i:\[/?(?:TOOL_CALLS|TOOL_RESULTS|THINK|CALL_ID)\]|\[ARGS\](?<=\w\[ARGS\]))",
    re.IGNORECASE,
)
# Further tags, which also occur in HTML and XML.
_TAG = re.compile(r"<\s{0,8}/?\s{0,8}(?:function|invoke|answer|parameter)\b", re.IGNORECASE)
_CALL_HEAD = r"\[\s{0,8}\w[\w.]*\(\s{0,8}(?:\)|\w+\s{0,8}=(?!=))"  # of a list of pythonic calls
_KEYS = (
    r"[\"'\u2018\u201c]arguments[\"'\u2019\u201d]\s{0,8}:"
    r"|[\"']name[\"']\s{0,8}:\s{0,8}[\"'][^\"'\n]{0,200}[\"']\s{0,8},\s{0,8}[\"']parameters[\"']\s{0,8}:"
)
_CALL_KEYS = re.compile(_KEYS, re.IGNORECASE)
_STARTS = re.compile(rf"\A[^\w\[\\]{{0,16}}{_CALL_HEAD}")
_OWN_SHAPES = {
    # a key of a call, but not of a schema
    "json": re.compile(
        r"[\"']parameters[\"']\s{0,8}:(?!\s{0,8}\{\s{0,8}[\"'](?:type|properties)[\"'])", re.IGNORECASE
    ),
    "pythonic": re.compile(_CALL_HEAD.replace(r"\[", r"\[(?<![\\\w\])]\[)", 1)),  # not an index, and not in maths
}
# What is not the answer's own writing: fenced and inline code, maths, the text of a link.
_QUOTED = re.compile(
    r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`|\$\$(?:(?!\$\$).)+\$\$|\$[^$\n]{1,200}\$"
    r"|\\\[(?:(?!\\[\[\]]).)*\\\]|\\\((?:(?!\\[()]).)*\\\)|\[[^\[\]\n]{0,200}\]\([^()\s]{0,400}\)",
    re.DOTALL,
)
_WHOLE_CODE = re.compile(r"\s{0,64}(?:```\w*\n(?P<fence>.*?)```|`(?P<span>[^`]*)`)\s{0,64}\Z", re.DOTALL)

# How an offered function is called, after its name …
_GAP = r"(?:[\s\"'`*|>:,=-]|json|with|using|arg(?:ument)?s?|param(?:eter)?s?|input)"
_PARAMETER = r"[a-z_]\w{0,40}(?:: ?\w{1,20})?"
_NO_VALUES = re.compile(
    rf"(?:\.\w{{1,40}})?\(\s{{0,8}}(?:\.{{3}}|(?P<names>{_PARAMETER}(?:, ?{_PARAMETER}){{0,8}}))?\s{{0,8}}\)"
)
_CALLED = re.compile(
    r"(?:\.\w{1,40})?\(|\{"
    r"|[\s`*\"']{1,4}\(\s{0,8}(?:\Z|\)|\w+\s{0,8}=(?!=)|[\"'\u201c{\[]|[-\d.,\s]{1,40}\))"
    rf"|{_GAP}{{1,16}}(?:\{{\s{{0,8}}(?:[\"'\u2018\u201c}}]|\Z|\w{{1,40}}\s{{0,4}}:\s{{0,4}}[\"'\[{{])|--\w|\w{{1,40}}=[\"'\w])"
    r"|[\"']\s{0,8}(?::\s{0,8}\[|[\])]\s{0,8}\()|:\d{1,3}\s{0,8}(?:[{<]|\Z)|\[\s{0,4}(?:\w{1,40}\s{0,4}=(?!=)|[\"'])",
    re.IGNORECASE,
)
# … or before it: a tag, a slash, a header of gpt-oss, a value of a key, or a label such as ReAct's.
_NAMED = re.compile(
    r"(?:<\s{0,8}/?\s{0,8}|<\w{0,12}(?:tool|function|invoke|name|action|api|call)\w{0,20}\b[^<>]{0,60}>?\s{0,8}|\bto\s{0,4}=\s{0,4}"
    r"|<\w{1,20}\s[^<>]{0,60}(?:tool|function|call)\w{0,10}\s{0,2}=\s{0,2}[\"']?|(?:\A|\n)[ \t]{0,4}[/!@])\Z",
    re.IGNORECASE,
)
_KEY = re.compile(
    r"(?:[\"'\u2018\u201c]|[{,]\s{0,8}:?)(?:name|function|tool|action|api|method|func|call|recipient|command)(?:_?name)?[\"'\u2019\u201d]?"
    r"\s{0,8}[:=]>?\s{0,8}[\"'\u2018\u201c]\Z",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:\A|\n)[\s>*#_-]{0,12}(?:(?:tool|function)[ _]?(?:call|name|use)|action|tool|function|call|calling|invoke)"
    r"[ \d*_]{0,6}:[\s_*`\"'\[<]{0,8}\Z",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"[`\"'*_\]>.!]{0,4}[ \t]{0,8}(?:\r|\n|\Z|[\[({])")
# What follows a name in a list of functions, which describes them and calls none.
_DESCRIBED = re.compile(r"[\"'`*_]{0,3}[\s,;|-]{0,12}[\"'*_`]{0,3}description\b", re.IGNORECASE)
_GOES_ON = re.compile(  # in a sentence, or to an explanation
    r"[`*\"'\u2019\u201d]{0,3}(?:,?(?:[ \t]{1,4}|(?=[^\x00-\x7f]))(?P<letter>[^\W\d_])"
    r"|(?::|[ \t]{1,4}[-\u2013\u2014]{1,2})[ \t]{1,4}\w)"
)
_IN_SENTENCE = re.compile(r"[^\W\d_] [`*\"'(]{0,3}\Z")
_KEYWORD = re.compile(r"\(\s{0,8}\w+\s{0,8}=(?!=)")
_LISTED = re.compile(r"\s{0,8}(?:[,\[]|\Z)")
_MAX_MENTIONS = 2000  # of offered functions; a text with more is not an answer
_WINDOW = 120  # characters before a name that are looked at


class _Fold(dict[int, str | None]):
    """Characters as a parser might read them: compatibility forms folded, invisible ones removed."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        invisible = code > 127 and unicodedata.category(character) in ("Cf", "Mn", "Me", "Cn", "Co")
        self[code] = None if invisible else unicodedata.normalize("NFKC", character)
        return self[code]


_FOLD = _Fold()
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_ESCAPE = re.compile(r"(\\+)(u[0-9a-fA-F]{4}|[\"'_/`n])?")
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'))


def _unescape(match: "re.Match[str]") -> str:
    escaped = match[2]
    if escaped is None:
        return match[1]
    if escaped == "n":
        return f"{match[0]}\n"  # of a JSON string, or the start of a LaTeX command
    return chr(int(escaped[1:], 16)) if escaped[0] == "u" else escaped


def _fold(text: str) -> str:
    """The text with escapes, entities, full-width and invisible characters resolved."""
    if not text.isascii():
        text = _NOT_ASCII.sub(lambda match: match[0].translate(_FOLD), text)
    if "\\" in text:
        text = _ESCAPE.sub(_unescape, text)
    if "&" in text:
        for entity, character in _ENTITIES:
            text = text.replace(entity, character)
    return text


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: white space, control, zero-width and filler characters only."""
    return not any(unicodedata.category(c)[0] in "LNPS" and c not in _BLANK_LETTERS for c in text)


def has_fragment(text: str, function_names: Collection[str], syntax: str = "") -> bool:
    """Whether a text holds a call or a piece of one; `syntax` is that of the run, if it has shapes of its own."""
    folded = _fold(text)
    if _MARKER.search(folded) or (_ONLY_SYNTAX.issuperset(text) and text.strip()):
        return True
    shapes = [_TAG, _CALL_KEYS, _STARTS, *([_OWN_SHAPES[syntax]] if syntax in _OWN_SHAPES else [])]
    if any(shape.search(folded) for shape in shapes):  # most texts have none, and are not searched for code
        plain = _QUOTED.sub(" ", text)
        plain = _fold(plain) if plain != text else folded
        if any(shape.search(plain) for shape in shapes):
            return True
        whole = _WHOLE_CODE.match(text)  # then it is not code in a text
        if whole and _CALL_KEYS.search(_fold(whole["fence"] or whole["span"] or "")):
            return True
    return _calls_offered(folded, function_names, syntax)


def _mentions(text: str, names: Collection[str]) -> Iterator[tuple[int, int]]:
    """Where a text names an offered function, in whatever case, with the namespace that some dialects write before it."""
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = text
    for name in {name.lower() for name in names}:
        end = 0
        while (start := lowered.find(name, end)) >= 0:
            end = start + len(name)
            before, after = lowered[start - 1 : start], lowered[end : end + 1]
            if before not in _WORD and after not in _WORD:
                space = next((space for space in _NAMESPACES if lowered.endswith(space, 0, start)), "")
                yield start - len(space), end


def _calls_offered(text: str, function_names: Collection[str], syntax: str) -> bool:
    places = _mentions(text, function_names)
    if syntax == "pythonic" and _is_one_list(text.strip()) and (_KEYWORD.search(text) or next(places, None)):
        return True  # the reader could not read it as calls
    number = -1
    for number, (start, end) in enumerate(places):
        if number == _MAX_MENTIONS or _is_call(text, start, end, syntax):
            return True
    return number >= 0 and holds_data_call(text, function_names)


def _is_one_list(text: str) -> bool:
    """Whether the bracket that opens a text is closed by its last character."""
    if not (text.startswith("[") and text.endswith("]")):
        return False
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if depth == 0:
            return at == len(text) - 1
    return False


def _is_call(text: str, start: int, end: int, syntax: str) -> bool:
    """Whether an offered name at this place is called, rather than mentioned."""
    window = text[max(0, start - _WINDOW) : start]
    is_method = window.endswith(".") and text[start:end].isalpha()  # `re.search(…)` is not the function `search`
    no_values = _NO_VALUES.match(text, end)
    if no_values is not None:  # `f()`, `f(…)` or `f(a, b)`, which a sentence may mention
        goes_on = _GOES_ON.match(text, no_values.end())
        mentioned = goes_on is not None and not (goes_on["letter"] or "").isupper()
        if not no_values["names"]:
            mentioned = mentioned or _IN_SENTENCE.search(window) is not None
        if not (is_method or mentioned):
            return True
    elif not is_method and _CALLED.match(text, end):
        return True
    if _NAMED.search(window):
        return True
    if _KEY.search(window) or (_LABEL.search(window) and _LABELLED.match(text, end)):
        return _DESCRIBED.match(text, end) is None
    return syntax == "pythonic" and window.strip() == "[" and _LISTED.match(text, end) is not None


MALFORMED = Answer(State.MALFORMED, reason="malformed_call")
BESIDE = Answer(State.MALFORMED, reason="text_beside_calls")


def calls_beside(
    calls: Sequence[ToolCall], beside: str, names: Collection[str], allow_text: bool, syntax: str = ""
) -> Answer:
    """Calls, unless the text beside them is not allowed or holds a piece of another call."""
    if beside.strip() and not (allow_text and not has_fragment(beside, names, syntax)):
        return BESIDE
    return Answer(State.CALL, tuple(calls))


def read_text(text: str, function_names: Collection[str], syntax: str = "") -> Answer:
    """An answer that cannot be a call: TEXT, or MALFORMED where it is empty, holds a piece of a call, or is too long."""
    if is_blank(text):
        return Answer(State.MALFORMED, reason="empty_answer")
    if len(text) > MAX_CHARACTERS or has_fragment(text, function_names, syntax):
        return MALFORMED
    return Answer(State.TEXT)
