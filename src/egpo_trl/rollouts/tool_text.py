"""Keeps the results of executed tools plain text: control text in them is broken by a blank, and the tokens are checked."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..tool_calls.thinking import KNOWN_THINK_TAGS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = Mapping[str, Any]

# Tags of text in a chat template, such as <tool_call>, [TOOL_RESULTS] or <|im_end|>.
_TEMPLATE_TAG = re.compile(r"</?[A-Za-z_][\w.:|-]*>|\[/?[A-Z][A-Z_]*\]|<\|[^<>|\s]{1,40}\|>")
_CALL_TAGS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 .,;:+\-\n]")
_NOT_A_NAME = re.compile(r"[^\w.:/-]")
_MAX_NAME = 64  # characters of a tool's name; models make up longer ones
_MAX_REMEMBERED = 256
_MAX_PASSES = 4
_REMOVED = "removed"


class ToolText:
    """Breaks the control text of one tokenizer and its chat template in results of tools."""

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", tags: Sequence[str] = (), chat_template: str | None = None
    ) -> None:
        added = tokenizer.added_tokens_decoder
        special = {token.content for token in added.values() if token.special} | set(tokenizer.all_special_tokens)
        marks = {token.content for token in added.values() if not token.content.replace(" ", "").isalnum()}
        known = {tag for pair in KNOWN_THINK_TAGS for tag in pair} | set(_CALL_TAGS)
        written = set(_TEMPLATE_TAG.findall(chat_template or ""))
        control = {text.strip() for text in special | marks | known | written | set(tags)} - {""}
        longest_first = sorted(control, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        self._control_ids = {i for i, token in added.items() if token.content.strip() in control}
        self._control_ids -= {tokenizer.unk_token_id}  # what any unknown character becomes
        self._tokenizer = tokenizer
        self._expected: dict[tuple[str, ...], Counter[Any]] = {}

    def defuse(self, text: str) -> str:
        text = text.encode("utf-8", "replace").decode("utf-8")
        for _ in range(_MAX_PASSES):  # breaking one piece may complete another
            broken = self._pattern.sub(_break, text)
            if broken == text:
                break
            text = broken
        return text

    def suffix_ids(
        self, render: Callable[[list[dict[str, Any]]], list[int]], messages: Sequence[Message]
    ) -> tuple[list[int], bool]:
        """Tokens of tool messages, and of what the chat template writes around them."""
        safe = [self._map_text(message, self.defuse) for message in messages]
        changed = any(new["content"] != old["content"] for new, old in zip(safe, messages, strict=True))
        names = tuple(message["name"] for message in safe)
        if names not in self._expected:
            if len(self._expected) >= _MAX_REMEMBERED:  # models make names up
                self._expected.clear()
            self._expected[names] = self._control_of(render([self._map_text(m, lambda _: _REMOVED) for m in safe]))
        ids = render(safe)
        # Tokenizers that normalise may still find control text, in full-width letters for instance.
        for harmless in (lambda text: _NOT_PLAIN.sub(" ", text), lambda _: _REMOVED):
            if self._control_of(ids) == self._expected[names]:
                break
            ids, changed = render([self._map_text(message, harmless) for message in safe]), True
        return ids, changed

    def _control_of(self, ids: list[int]) -> "Counter[Any]":
        text = self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return Counter([i for i in ids if i in self._control_ids]) + Counter(self._pattern.findall(str(text)))

    @staticmethod
    def _map_text(message: Message, function: Callable[[str], str]) -> dict[str, Any]:
        content = message["content"]
        if isinstance(content, list):  # content blocks, of a vision-language model
            content = [
                {**part, "text": function(part["text"])} if part.get("type") == "text" else part for part in content
            ]
        else:
            content = function(str(content))
        name = _NOT_A_NAME.sub("_", str(message["name"]))[:_MAX_NAME]
        return {**message, "name": name, "content": content}


def _break(match: "re.Match[str]") -> str:
    text = match.group()
    return f"{text[0]} {text[1:]}" if len(text) > 1 else " "
