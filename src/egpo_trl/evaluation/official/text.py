"""Writes completions for an official scorer: the answer after the chain of thought, in the benchmark's syntax."""

from collections.abc import Callable, Iterable

from ...rewards.tool_call import ToolCallReward
from ...sampling.completion import Completion
from ...sampling.sampler import PromptFormat
from ...tool_calls.calls import State, ToolCall
from ...tool_calls.thinking import split_completion
from .process import UNWRITABLE

MAX_CHARACTERS = 20_000  # a longer answer is shown as empty, so that no scorer spends minutes on it

Writer = Callable[[Iterable[ToolCall]], str]


class OfficialText:
    """Writes completions for an official scorer: without thought, and with calls of another syntax in the benchmark's."""

    def __init__(self, prompts: PromptFormat, write: Writer) -> None:
        self._write = write
        syntax = "pythonic" if prompts.style == "paper" else "auto"
        self._reward: ToolCallReward = prompts.bind(ToolCallReward(syntax, thinking="optional", allow_text=True))
        self._tags = prompts.think_tags or self._reward.think_tags or ("<think>", "</think>")

    def of(self, completion: Completion, tools: str | None = None) -> str:
        """What the scorer sees of a completion."""
        text = self._answer(completion.text)
        if self._reward.syntax != "pythonic" and not text.lstrip().startswith("["):
            ids = completion.completion_ids or None
            verdict = self._reward.judge(completion.text, "[]", tools, token_ids=ids)
            if verdict.state is State.CALL:
                text = self._write(verdict.calls)
        return "" if len(text) > MAX_CHARACTERS else UNWRITABLE.sub("\ufffd", text)

    def _answer(self, text: str) -> str:
        start, end = self._tags
        prefilled = self._reward.think_prefilled
        if prefilled is None:  # an endpoint rendered the prompt
            prefilled = end in text and not text.lstrip().startswith(start)
        return split_completion(text, "optional", prefilled, start, end).answer
