"""A model behind an OpenAI-compatible endpoint."""

import asyncio
import json
import queue
import re
import threading
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .completion import Completion, digest
from .config import EvaluationConfig
from .endpoint import body_of, make_client
from .errors import JudgeError, JudgeUnavailable, RejectedQuestion, TransientJudgeError
from .pace import Pace, wait_for_another_try
from .sampler import PromptFormat, Request, SamplingStopped, prompt_format

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_TOO_LONG = re.compile(
    r"context[ _-](length|window|size)|maximum (context|sequence|model|input)|max_model_len|longer than|too long", re.I
)
_Result = tuple[int, Completion] | Exception | None


class EndpointSampler:
    """
    A model behind an endpoint: several requests at a time, tried again where a failure may pass.

    Args:
        config ([`EvaluationConfig`]):
            Model, address, decoding and limits.

    Raises:
        ValueError: If the `openai` client, the key or the tokenizer is missing.
    """

    def __init__(self, config: EvaluationConfig) -> None:
        self._config = config
        self._render: Any = None
        tokenizer = None
        if config.endpoint_api == "completions":
            from .models import load_tokenizer

            assert config.tokenizer is not None
            tokenizer = load_tokenizer(config, config.tokenizer)
        self.prompts = prompt_format(config, tokenizer)
        if tokenizer is not None:
            from .rendering import PromptRenderer

            self._render = PromptRenderer(self.prompts)
        self._client()  # what is missing is missed before anything else is done

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model and decoding; not the address, which may differ from run to run for the same model."""
        tokenizer = self.prompts.tokenizer
        return {
            "backend": "openai",
            "model": self._config.model,
            "endpoint_api": self._config.endpoint_api,
            "tool_choice": self._config.tool_choice,
            "template": None if tokenizer is None else digest(tokenizer.chat_template),
            **self._config.decoding,
        }

    def sample(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """Sample a completion for each request, see [`Sampler`]."""
        results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        stop = threading.Event()

        def run() -> None:
            try:
                asyncio.run(self._sample_all(requests, results, stop))
            except Exception as error:
                results.put(error)
            results.put(None)

        # A thread, so that completions reach the journal as they come, also where a loop runs already (notebooks).
        threading.Thread(target=run, daemon=True).start()
        problem: Exception | None = None
        try:
            while (result := results.get()) is not None:
                if isinstance(result, Exception):
                    problem = problem or result
                else:
                    yield result
        finally:
            stop.set()
        if problem is not None:
            raise problem

    async def _sample_all(
        self, requests: Sequence[Request], results: "queue.SimpleQueue[_Result]", stop: threading.Event
    ) -> None:
        waiting = iter(range(len(requests)))
        client, pace = self._client(), Pace(self._config.requests_per_minute)

        async def work() -> None:
            for index in waiting:  # the workers share one iterator
                if stop.is_set():
                    return
                try:
                    completion = await self._ask(client, pace, requests[index], stop)
                except Exception as error:
                    stop.set()
                    pace.close()
                    results.put(error)
                    return
                if completion is not None:
                    results.put((index, completion))

        try:
            await asyncio.gather(*(work() for _ in range(self._config.concurrency)))
        finally:
            await client.close()

    def _client(self) -> "AsyncOpenAI":
        config = self._config
        without = "use backend transformers or vllm"
        return make_client(
            config.base_url, config.api_key_env, config.request_timeout, config.max_response_bytes, without
        )

    async def _ask(
        self, client: "AsyncOpenAI", pace: Pace, request: Request, stop: threading.Event
    ) -> Completion | None:
        """The completion of a request; `None` if the run is being stopped by another one."""
        tries = 0
        while True:
            await pace.wait()
            if stop.is_set():
                return None
            try:
                body = await body_of(self._send(client, request), self._config.request_timeout)
                return read_reply(body, self.prompts)
            except TransientJudgeError as error:
                if tries >= self._config.max_retries:
                    raise _stopped("failed again and again", error) from error
                try:
                    await wait_for_another_try(error, tries, pace, self._config)
                except JudgeUnavailable as unavailable:
                    raise _stopped("is busy", unavailable) from unavailable
                tries += 1
            except RejectedQuestion as error:
                if _TOO_LONG.search(str(error)):
                    return Completion("", finish_reason="prompt_too_long")
                if self._config.on_rejection == "score_0":
                    return Completion(str(error), finish_reason="error")
                raise _stopped("refused a prompt (--on_rejection score_0 would go on)", error) from error
            except JudgeError as error:
                raise _stopped("takes no requests; check model, base_url and api_key_env", error) from error

    def _send(self, client: "AsyncOpenAI", request: Request) -> Awaitable[Any]:
        config, row = self._config, request.row
        fields: dict[str, Any] = {
            "model": config.model,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "max_tokens": config.max_new_tokens,
            "seed": request.seed,
        }
        extra: dict[str, Any] = {"top_k": config.top_k} if config.top_k else {}
        if self._render is not None or isinstance(row["prompt"], str):
            prompt = row["prompt"] if self._render is None else self._render(row)
            if self._render is not None:
                extra["skip_special_tokens"] = False
            return client.completions.with_raw_response.create(prompt=prompt, extra_body=extra, **fields)
        from .rendering import api_messages

        fields["messages"], tools = api_messages(row, self.prompts)
        if tools:
            fields |= {"tools": tools, "tool_choice": config.tool_choice}
        if config.template_kwargs:
            extra["chat_template_kwargs"] = config.template_kwargs
        return client.chat.completions.with_raw_response.create(extra_body=extra, **fields)

    def close(self) -> None:
        """Connections are closed at the end of each round."""


def _stopped(what: str, error: Exception) -> SamplingStopped:
    return SamplingStopped(f"The endpoint {what}: {error}")


def read_reply(body: bytes, prompts: PromptFormat) -> Completion:
    """
    The completion in the body of a response.

    Args:
        body (`bytes`):
            Body of a chat completion or a text completion.
        prompts ([`PromptFormat`]):
            Think tags, and the tokenizer whose end token is cut off a text.

    Returns:
        [`Completion`]:
            The completion.

    Raises:
        TransientJudgeError: If the body is not of that form.
    """
    try:
        value = json.loads(body)
        choice = value["choices"][0]
        usage = value.get("usage") or {}
        counted = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        cut_off = choice.get("finish_reason") == "length"
        message = choice.get("message")
        text = choice["text"] if message is None else text_of_message(message, prompts)
    except (ValueError, RecursionError):
        raise TransientJudgeError("the body is not JSON") from None
    except (KeyError, IndexError, TypeError, AttributeError):
        raise TransientJudgeError("the body is no completion") from None
    if text is None and isinstance(choice.get("finish_reason"), str):
        text = ""  # the model ended at once, and the server says so
    if not isinstance(text, str):
        raise TransientJudgeError("the completion has no text")
    end = None if prompts.tokenizer is None else prompts.tokenizer.eos_token
    if isinstance(end, str) and not cut_off:
        text = text.removesuffix(end)
    is_number = isinstance(counted, int) and not isinstance(counted, bool)
    return Completion(text, (), counted if is_number else None, "length" if cut_off else "stop", message)


def text_of_message(message: Mapping[str, Any], prompts: PromptFormat) -> Any:
    """
    The text that a server has taken apart: the chain of thought in its tags, the content, and calls as Hermes writes
    them.

    Args:
        message (`Mapping[str, Any]`):
            Assistant message.
        prompts ([`PromptFormat`]):
            Think tags.

    Returns:
        `str`:
            The text; `None` where the message has nothing at all, and what is no text in `content` as it is.

    Raises:
        KeyError: If a call is not of the form of the API.
    """
    content = message.get("content")
    calls = message.get("tool_calls") or []
    if content is not None and not isinstance(content, str):
        return content
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if content is None and not calls and not reasoning:
        return None
    start, end = prompts.think_tags or ("<think>", "</think>")
    parts = [f"{start}{reasoning}{end}\n"] if isinstance(reasoning, str) else []
    parts += [content] if content else []
    for call in calls:
        function = call["function"]
        name, arguments = json.dumps(function["name"], ensure_ascii=False), function["arguments"] or "{}"
        parts.append(f'<tool_call>\n{{"name": {name}, "arguments": {arguments}}}\n</tool_call>')
    return "\n".join(parts)
