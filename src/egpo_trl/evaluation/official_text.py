"""What of a completion an official scorer sees: the answer behind the chain of thought, in the benchmark's syntax."""

import re
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache

from ..completions import CompletionReader, find_syntax
from ..tool_calls.calls import State, ToolCall
from ..tool_calls.thinking import split_completion
from .records import Completion
from .sampler import PromptFormat

MAX_CHARACTERS = 20_000  # a longer answer is shown as empty, so that no scorer spends minutes on it
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_THINK_TAGS = ("<think>", "</think>")

Writer = Callable[[Iterable[ToolCall]], str]


class OfficialText:
    """
    Writes completions as an official scorer takes them.

    Text stays as the model wrote it, so that the scorer judges its syntax, but for two things: the chain of thought is
    cut off, and calls in the model's own syntax (where the chat template asks for one that is not pythonic) are
    written in the benchmark's.

    Args:
        prompts ([`PromptFormat`]):
            How the prompts were made.
        write (`Callable`):
            Writes calls in the benchmark's syntax.
    """

    def __init__(self, prompts: PromptFormat, write: Writer) -> None:
        self._write = write
        self._tags = prompts.think_tags or _THINK_TAGS
        syntax = "pythonic" if prompts.style == "paper" else "auto"
        if syntax == "auto" and prompts.tokenizer is not None:
            syntax = _find_syntax(prompts.tokenizer)
        self._reader = CompletionReader(
            syntax=syntax,
            thinking="optional",
            think_tags=self._tags,
            allow_text=True,
            tokenizer=prompts.tokenizer if syntax == "native" else None,
            stop_token_ids=prompts.stop_token_ids,
        )

    def of(self, completion: Completion, names: Collection[str] = (), tools: str | None = None) -> str:
        """
        What the scorer sees of a completion.

        Args:
            completion ([`Completion`]):
                The completion.
            names (`Collection[str]`, *optional*):
                Names of the functions that the row offers.
            tools (`str`, *optional*):
                Its function schemas.

        Returns:
            `str`:
                Text without lone surrogates and control characters, which the scorers' files cannot hold.
        """
        text = self._behind_thought(completion.text)
        if self._reader.syntax != "pythonic" and not text.lstrip().startswith("["):
            answer = self._reader.read(
                completion.text if self._reader.syntax == "native" else text, names=names, tools=tools
            )
            if answer.state is State.CALL:
                text = self._write(answer.calls)
        return "" if len(text) > MAX_CHARACTERS else _UNWRITABLE.sub("\ufffd", text)

    def _behind_thought(self, text: str) -> str:
        start, end = self._tags
        opened = text.lstrip().startswith(start)
        prefilled = not opened and end in text  # the prompt ended with the opening tag
        return split_completion(text, "optional", prefilled, start, end).answer


_find_syntax = lru_cache(maxsize=8)(find_syntax)
