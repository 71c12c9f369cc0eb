"""Reads the syntax that a tokenizer's response template describes, with transformers' parser.

The parser is made for serving: it forgives a region that is never closed, a repeated key, text between calls. A reward
must not, so the regions that it reports are checked here. This is the one module of the package that needs transformers.
"""

import copy
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from .calls import MAX_CALLS, MAX_CHARACTERS, Answer, State, ToolCall, check_value, load_json
from .fragments import has_fragment, is_blank

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")
_LEFTOVER = "text outside every field"  # name of a field added to templates that would drop such text
_END = "\x03"  # appended to the completion: a region that contains it was never closed
_OPENED_TAG = re.compile(r"<(\w+)=")  # a tag that the pattern of a call opens and its content closes
_PAIRED = re.compile(r"<\|tool\w*?_(start|end)\|>")  # LFM2's, whose template does not ask for the closing one
_BLANKS = re.compile(r"(?<!\s)\s{512}")  # transformers' patterns are quadratic in runs of white space
_MANY_BLANKS = re.compile(r"\s{4}")  # among every 128th character, where there is such a run
_MAX_ANSWER = 16_384  # characters beside the reasoning: patterns of a template may be quadratic in them
_MAX_REGIONS = 2 * MAX_CALLS  # the parser looks at the rest of the text once for each
_MAX_ARGUMENTS = 256  # of all calls of an answer together
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}


def find_response_template(tokenizer: "PreTrainedTokenizerBase") -> dict[str, Any] | None:
    """The response template of a tokenizer, without changing the tokenizer."""
    template = getattr(tokenizer, "response_template", None)
    if template is None:
        from trl.chat_template_utils import add_response_schema

        twin = copy.copy(tokenizer)
        try:
            add_response_schema(twin)
        except ValueError:
            return None
        template = twin.response_template
    return template if isinstance(template, dict) and "tool_calls" in template.get("fields", {}) else None


def types_by_schema(template: Mapping[str, Any]) -> bool:
    """Whether the calls of a response template hold plain text, which only the schema of a function gives a type."""
    field = template.get("fields", {}).get("tool_calls", {})
    parser = field.get("content_args", {}).get("value_parser") or {}
    return bool(field.get("content") == "xml-inline" and parser.get("name", "text") == "text")


class NativeReader:
    """Reader of completions in a tokenizer's own syntax."""

    def __init__(self, template: Mapping[str, Any], thinking: str = "required") -> None:
        from transformers.utils.chat_parsing.response_templates import load_response_template

        spec = copy.deepcopy(dict(template))
        if all({"open", "open_pattern"} & set(field) for field in spec["fields"].values()):
            spec["fields"][_LEFTOVER] = {"content": "text"}
        for field in spec["fields"].values():
            if field.get("open_pattern", "").startswith("(?=[\\s\\S]*?"):
                field["open_pattern"] = rf"\G{field['open_pattern']}"  # if it fails here, it fails everywhere behind
        self._template = load_response_template(spec)
        self._thinking = thinking
        self._is_typed_by_schema = types_by_schema(spec)
        self._reasoning = next((name for name in REASONING_FIELDS if name in spec["fields"]), None)
        self.reads_reasoning = self._reasoning is not None
        field = self._template.fields.get(self._reasoning)
        self._reasoning_tags = {"<think>", "</think>", *((field.open_literals or ()) if field else ())}
        pattern = self._template.fields["tool_calls"].content_args.get("tag_pattern", "")
        self._argument_tags = [(f"<{name}", f"</{name}>") for name in re.findall(r"</(\w+)>", pattern)]

    def read(
        self,
        text: str,
        prefix: str = "",
        tools: Sequence[Any] | None = None,
        function_names: Collection[str] = (),
        allow_text: bool = False,
    ) -> Answer:
        """Read a completion, chain of thought and answer."""
        if _MANY_BLANKS.search(text[::128]) and _BLANKS.search(text):
            return Answer(State.MALFORMED, reason="malformed_call")
        if len(text) > MAX_CHARACTERS or _END in text or not self._is_balanced(text):
            return Answer(State.MALFORMED, reason="malformed_call")
        if self._answer_length(text, prefix) > _MAX_ANSWER:
            return Answer(State.MALFORMED, reason="malformed_call")
        regions = self._regions(text, prefix, tools)
        if not any(_END in body for _, body, _ in regions):  # not parsed, or a pattern matched more than its part
            return Answer(State.MALFORMED, reason="malformed_call")
        if self._goes_on(text, [body for _, body, _ in regions]):
            return Answer(State.MALFORMED, reason="malformed_call")
        answer = [region for region in regions if region[0] != self._reasoning]
        reason = self._check_reasoning(regions)
        if reason is not None:
            return Answer(State.MALFORMED, reason=reason)
        calls: list[ToolCall] = []
        beside: list[str] = []
        for name, body, value in answer:
            if name == _LEFTOVER:  # gpt-oss starts a message for each of its channels
                beside.append(self._template.start_anchor_re.sub("", body).replace(_END, ""))
            elif name != "tool_calls":
                beside.append(body.replace(_END, ""))
            elif _END in body:
                return Answer(State.MALFORMED, reason="malformed_call")
            else:
                read = self._read_calls(body, value)
                if read is None:
                    return Answer(State.MALFORMED, reason="malformed_call")
                calls += read
        plain = "\n".join(beside)
        if plain.strip() and (has_fragment(plain, function_names) or self._has_marker(plain)):
            return Answer(State.MALFORMED, reason="text_beside_calls" if calls else "malformed_call")
        if calls:
            if plain.strip() and not allow_text:
                return Answer(State.MALFORMED, reason="text_beside_calls")
            sides = _PAIRED.findall(text)
            if sides.count("start") != sides.count("end"):
                return Answer(State.MALFORMED, reason="malformed_call")
            return Answer(State.CALL, tuple(calls))
        return Answer(State.MALFORMED, reason="empty_answer") if is_blank(plain) else Answer(State.TEXT)

    def _regions(self, text: str, prefix: str, tools: Any) -> list[tuple[str, str, Any]]:
        """Field, text and value of each region in order; none where transformers cannot parse the completion."""
        regions: list[tuple[str, str, Any]] = []
        body = ""
        try:
            # Elsewhere transformers would make a number of a text that the policy wrote in quotes.
            typed = tools if self._is_typed_by_schema else None
            parser = _parser_class()(self._template, prefix=prefix, tools=typed)
            events = [*parser.initial_events, *parser.feed(text + _END)]
            events += parser.finalize()[1]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return []
        for event in events:
            if event["type"] == "region_chunk":
                body += event["text"]
            elif event["type"] == "region_close":
                regions.append((event["field"], body, event["value"]))
                body = ""
        return regions

    def _goes_on(self, text: str, bodies: Sequence[str]) -> bool:
        """Whether a completion continues after the end of its turn; the same characters in an argument are not an end."""
        pattern = getattr(self._template.fields.get("content"), "close_re", None)
        if pattern is None:
            return False
        ends = [match for match in pattern.finditer(text) if match.group().strip()]
        inside = sum(bool(match.group().strip()) for body in bodies for match in pattern.finditer(body))
        return len(ends) - inside > 1 or (len(ends) - inside == 1 and ends[-1].end() != len(text))

    def _answer_length(self, text: str, prefix: str) -> int:
        """Characters beside the leading reasoning, in which the parser looks for more than its end."""
        field = self._template.fields.get(self._reasoning)
        if field is None:
            return len(text)
        literals = tuple(literal.strip() for literal in field.open_literals or ())
        end = field.close_re.search(text)
        if literals and not (text.lstrip().startswith(literals) or prefix.rstrip().endswith(literals)):
            return len(text)
        return len(text) - end.end() if end else 0 if literals else len(text)

    def _check_reasoning(self, regions: Sequence[tuple[str, str, Any]]) -> str | None:
        """What is wrong with the reasoning template, if anything."""
        if not self.reads_reasoning:
            return None
        blocks = [at for at, (name, _, _) in enumerate(regions) if name == self._reasoning]
        filled = [at for at, (_, body, _) in enumerate(regions) if body.strip()]
        if any(_END in regions[at][1] for at in blocks):
            return "unclosed_think_block"
        if any(tag in regions[at][1] for at in blocks for tag in self._reasoning_tags):
            return "several_think_blocks"
        if self._thinking == "off":  # an empty block is how templates switch thinking off
            return "unexpected_think_block" if set(blocks) & set(filled) else None
        if self._thinking == "required" and (not blocks or (filled and filled[0] < blocks[0])):
            return "no_think_block"
        return "several_think_blocks" if len(blocks) > 1 or (blocks and filled[0] < blocks[0]) else None

    def _is_balanced(self, text: str) -> bool:
        """Whether the tags of arguments are closed: transformers' pattern is quadratic in those that are not."""
        counts = [(text.count(opening), text.count(closing)) for opening, closing in self._argument_tags]
        return all(opened == closed <= _MAX_ARGUMENTS for opened, closed in counts)

    def _read_calls(self, body: str, value: Any) -> list[ToolCall] | None:
        """Calls of one region, or `None` if it is not strictly what the template describes."""
        calls = []
        for item in value if isinstance(value, list) else [value]:
            call = parsed_call(item)
            if call is None:
                return None
            calls.append(call)
        field = self._template.fields["tool_calls"]
        try:
            if field.content == "xml-inline":
                is_strict = self._is_strict_xml(field, body, calls[0].arguments)
            elif field.content_args:
                is_strict = _count_keys(body, field.content_args) == sum(map(_keys_of, (c.arguments for c in calls)))
            else:
                is_strict = load_json(body) is not None
        except ValueError:
            return None
        return calls if is_strict else None

    def _is_strict_xml(self, field: Any, body: str, arguments: Mapping[str, Any]) -> bool:
        """Whether the text contains each argument exactly once and nothing else."""
        keys: list[str] = []
        rest, position = "", 0
        for match in re.finditer(field.content_args["tag_pattern"], body, re.DOTALL):
            rest += body[position : match.start()]
            position = match.end()
            key, written = match.group("key"), match.group("value").strip()
            keys.append(key)
            value = arguments.get(key)
            if isinstance(value, (dict, list)) or (isinstance(value, (bool, int, float)) and written not in _WORDS):
                strict = load_json(written)
                if type(strict) is not type(value) or strict != value:
                    return False
            elif written in _WORDS and not isinstance(value, str) and _WORDS[written] is not value:
                return False
        rest += body[position:]
        opened = _OPENED_TAG.search(field.open_re.pattern)
        separators = " \t\r\n," if "," in field.open_re.pattern else " \t\r\n"
        return len(set(keys)) == len(keys) and rest.strip(separators) == (f"</{opened[1]}>" if opened else "")

    def _has_marker(self, text: str) -> bool:
        """Whether a text holds the delimiter of a field, such as that of a call which was cut off."""
        for field in self._template.fields.values():
            literals = [*(field.open_literals or ()), *(field.close_literals or ())]
            if any(literal.strip() in text for literal in literals if len(literal.strip()) > 2):
                return True
        tool_calls = self._template.fields["tool_calls"]
        matches = [
            pattern.search(text) for pattern in (tool_calls.open_re, tool_calls.close_re) if pattern is not None
        ]
        return any(match is not None and len(match.group().strip()) > 2 for match in matches)


@cache
def _parser_class() -> Any:
    """transformers' parser, with a bound on the regions of a completion."""
    from transformers.utils.chat_parsing import ResponseParser

    class BoundedParser(ResponseParser):
        num_closed = 0

        def _close_current(self, events: Any) -> None:
            self.num_closed += 1
            if self.num_closed > _MAX_REGIONS:
                raise ValueError(f"more than {_MAX_REGIONS} regions")
            super()._close_current(events)

    return BoundedParser


def _count_keys(body: str, content_args: Mapping[str, Any]) -> int:
    """How many keys a text in a dialect of JSON writes, repeated ones too."""
    for opening, closing in content_args.get("string_delims", []):
        body = re.sub(f"{re.escape(opening)}.*?{re.escape(closing)}", "0", body, flags=re.DOTALL)
    body = re.sub(r'"(?:[^"\\]|\\.)*\\?(?:"|\Z)', '""', body, flags=re.DOTALL)
    return len(re.findall(r'(?:(?<!\w)\w+|"")\s*:', body))


def _keys_of(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_keys_of, value.values()))
    return sum(map(_keys_of, value)) if isinstance(value, list) else 0


def parsed_call(item: Any) -> ToolCall | None:
    """A call from the message form `{"type": "function", "function": {"name": …, "arguments": {…}}}`, or `None`."""
    function = item.get("function") if isinstance(item, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    arguments = function.get("arguments") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return None
    if isinstance(function, Mapping) and len(function) > 2:  # a key that the policy made up
        return None
    try:
        check_value(arguments)
    except (ValueError, RecursionError):
        return None
    return ToolCall(name, arguments)
