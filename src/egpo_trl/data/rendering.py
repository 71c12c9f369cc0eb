"""Renders rows with a chat template, in the same way for training, SFT and evaluation."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from ..tool_calls.calls import parse_row_tools
from ..tool_calls.completions import text_of
from ..tool_calls.native import REASONING_FIELDS
from .prompts import DEFAULT_THINK_TAGS, history_call, to_messages
from .rows import Problem
from .template_form import Messages, TemplateForm, find_form, in_form, shows_tools

Tools = list[dict[str, Any]] | None


class RenderingError(ValueError):
    """A row that a chat template refuses, with the template's words."""


class PromptRenderer:
    """Renders canonical rows with the chat template of a tokenizer, in the form that the template takes."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | ProcessorMixin,
        style: str = "native",
        think_tags: Sequence[str] | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        render_tools: bool = True,
        chat_template: str | None = None,
    ) -> None:
        self.tokenizer: Any = tokenizer
        self.style = style
        self.think_tags = tuple(think_tags or DEFAULT_THINK_TAGS)
        self.kwargs = dict(chat_template_kwargs or {})
        self._render_tools = render_tools and style == "native"
        self._chat_template = chat_template

    @cached_property
    def form(self) -> TemplateForm:
        """The form of messages that the template takes."""
        return find_form(self._render)

    def check_template(self) -> None:
        """Raise `ValueError` if the template ignores functions that it is to render."""
        if self._render_tools and not shows_tools(self._render):
            name = getattr(self.tokenizer, "name_or_path", "")
            raise ValueError(
                f"The chat template of {name!r} ignores tools, so the model would not see the row's functions. Use "
                "prompt_style 'paper', which writes them into the system message (in Python: rows of "
                "egpo_trl.data.loading.in_paper_style, with render_tools=False)."
            )

    def __call__(self, row: Mapping[str, Any]) -> list[int]:
        """Token ids of the prompt of a row; a `prompt` that is a string is taken as rendered."""
        if isinstance(row["prompt"], str):
            return list(self.tokenizer(row["prompt"])["input_ids"])
        try:
            return self.prompt_ids(to_messages(row, self.style, self.think_tags), self.tools_of(row))
        except RenderingError as error:
            words = str(error)
        except (KeyError, TypeError, AttributeError) as error:
            words = f"its messages cannot be read: {type(error).__name__}: {error}"
        raise RenderingError(words if row.get("id") is None else f"row {row['id']!r}: {words}")

    def tools_of(self, row: Mapping[str, Any]) -> Tools:
        """Functions of a row that the template is to render."""
        return parse_row_tools(row.get("tools")) if self._render_tools else None

    def prompt_ids(self, messages: Sequence[Mapping[str, Any]], tools: Tools) -> list[int]:
        """Token ids of messages, which are written in the form that the template takes."""
        return list(self._apply(in_form(messages, self.form), tools, tokenize=True)["input_ids"][0])

    def prompt_text(self, messages: Sequence[Mapping[str, Any]], tools: Tools) -> str:
        return self._render(in_form(messages, self.form), tools)

    def conversation(self, row: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[Messages, Messages]:
        """Prompt and answer of a row as messages in the form that the template takes."""
        written = in_form([*to_messages(row, self.style, self.think_tags), answer], self.form)
        return written[:-1], written[-1:]

    def target(self, prompt: Messages, answer: Messages, tools: Tools) -> str:
        """What the template writes for an answer: the conversation with it, after what it shares with the prompt."""
        asked, whole = self._render(prompt, tools), self._render([*prompt, *answer], tools, False)
        if whole.startswith(asked):
            return whole[len(asked) :]
        shared = next((at for at, (a, b) in enumerate(zip(asked, whole, strict=False)) if a != b), len(whole))
        return whole[shared:]

    def problem(
        self, row: Mapping[str, Any], tools: Tools = None, answer: Mapping[str, Any] | None = None
    ) -> Problem | None:
        """What the template loses of a row: it renders the row with a mark in each part, and looks for the marks."""
        if isinstance(row["prompt"], str):
            return None
        in_prompt = _Marks("p")
        marked = {**row, "prompt": [in_prompt.message(message, at) for at, message in enumerate(row["prompt"])]}
        marked_tools = in_prompt.tools(tools)
        in_answer = _Marks("a")
        marked_answer = None if answer is None else in_answer.answer(answer, self.think_tags[0])
        try:
            prompt, target = self._texts(marked, marked_tools, marked_answer)
        except RenderingError:
            try:
                self._texts(row, tools, answer)
            except RenderingError as error:
                return Problem("template_refuses", str(error))
            return None  # it refuses the marks only
        return in_prompt.missing(prompt) or in_answer.missing(target)

    def _texts(self, row: Mapping[str, Any], tools: Tools, answer: Mapping[str, Any] | None) -> tuple[str, str]:
        if answer is None:
            return self.prompt_text(to_messages(row, self.style, self.think_tags), tools), ""
        prompt, target = self.conversation(row, answer)
        return self._render(prompt, tools), self.target(prompt, target, tools)

    def _apply(
        self, messages: Messages, tools: Tools, tokenize: bool = False, add_generation_prompt: bool = True
    ) -> Any:
        try:
            return self.tokenizer.apply_chat_template(
                conversation=[messages],
                tools=tools or None,  # some templates render boilerplate for an empty list
                chat_template=self._chat_template,
                add_generation_prompt=add_generation_prompt,
                tokenize=tokenize,
                return_dict=tokenize,
                **self.kwargs,
            )
        except Exception as error:  # templates raise errors of any kind
            words = " ".join(str(error).split())
            raise RenderingError(f"the chat template does not render it: {type(error).__name__}: {words}") from error

    def _render(self, messages: Messages, tools: Tools, add_generation_prompt: bool = True) -> str:
        return str(self._apply(messages, tools, add_generation_prompt=add_generation_prompt)[0])


class _Marks:
    """Marks put into one rendering, each with the problem that its absence means."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._problems: dict[str, Problem] = {}

    def missing(self, text: str) -> Problem | None:
        """The problem of the first mark that a text lacks."""
        return next((problem for mark, problem in self._problems.items() if mark not in text), None)

    def message(self, message: Mapping[str, Any], at: int) -> dict[str, Any]:
        """A message of the prompt with marks after its text and in its calls."""
        who = f"message {at} ({message['role']})"
        return self._marked(message, "not_in_prompt", f"the chat template does not show the {{}} of {who}")

    def answer(self, answer: Mapping[str, Any], think_start: str) -> dict[str, Any]:
        """The message that SFT trains on, with marks in its thought too."""
        marked = self._marked(answer, "not_in_target", "the chat template does not show the {} of the answer")
        problem = Problem("not_in_target", "the chat template does not show the thought of the answer")
        for name in REASONING_FIELDS:
            if answer.get(name):
                marked[name] = f"{answer[name]} {self._mark(problem)}"
        if think_start and str(answer.get("content") or "").startswith(think_start):
            marked["content"] = marked["content"].replace(think_start, f"{think_start}{self._mark(problem)} ", 1)
        return marked

    def tools(self, tools: Tools) -> Tools:
        if not tools:
            return tools
        mark = self._mark(Problem("not_in_prompt", "the chat template does not show its functions"))
        properties = {"x": {"type": "string", "description": "x"}}
        parameters = {"type": "object", "properties": properties, "required": ["x"]}
        function = {"name": mark, "description": mark, "parameters": parameters}
        return [*tools, {"type": "function", "function": function}]

    def _marked(self, message: Mapping[str, Any], reason: str, words: str) -> dict[str, Any]:
        marked = dict(message)
        content = message.get("content")
        if content is not None and text_of(content).strip():
            mark = self._mark(Problem(reason, words.format("text")))
            is_text = isinstance(content, str)
            marked["content"] = f"{content} {mark}" if is_text else [*content, {"type": "text", "text": f" {mark}"}]
        if message.get("tool_calls"):
            marked["tool_calls"] = [self._call(call, reason, words) for call in message["tool_calls"]]
        return marked

    def _call(self, call: Mapping[str, Any], reason: str, words: str) -> Mapping[str, Any]:
        read = history_call(call)
        if read is None:
            return call
        mark = self._mark(Problem(reason, words.format(f"call of {read.name!r}")))
        arguments: Any = {**read.arguments, mark: mark}
        if isinstance(call["function"]["arguments"], str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        return {**call, "function": {**call["function"], "arguments": arguments}}

    def _mark(self, problem: Problem) -> str:
        mark = f"{self._prefix}mark{len(self._problems)}x"
        self._problems[mark] = problem
        return mark
