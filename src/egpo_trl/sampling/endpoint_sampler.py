"""Samples a model at an OpenAI-compatible endpoint."""

import asyncio
import json
import queue
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any

from .completion import Completion, digest
from .config import SamplingConfig
from .endpoint import EndpointClient, first_choice
from .errors import BudgetSpent, EndpointError, EndpointUnavailable, RejectedRequest
from .limits import Limits
from .sampler import PromptFormat, Request, SamplingStopped, prompt_format

_TOO_LONG = re.compile(
    r"context[ _-](length|window|size)|maximum (context|sequence|model|input)|max_model_len|longer than|too long", re.I
)
_NO_TOOL_PARSER = re.compile(r"tool.?choice|tool-call-parser", re.I)


class EndpointSampler:
    """A model at an endpoint: several requests at a time, over connections that stay open."""

    def __init__(self, config: SamplingConfig) -> None:
        self._config = config
        self._render: Any = None
        tokenizer = None
        if config.endpoint_api == "completions":
            from ..demo.names import model_folder
            from .models import load_tokenizer

            assert config.tokenizer is not None
            tokenizer = load_tokenizer(config, model_folder(config.tokenizer))
        self.prompts = prompt_format(config, tokenizer)
        if tokenizer is not None:
            from .rendering import PromptRenderer

            self._render = PromptRenderer(self.prompts)
        self._client(Limits())  # a missing package or key is an error before anything else is done

    def _client(self, limits: Limits) -> EndpointClient[Completion]:
        return EndpointClient(
            self._config, limits, lambda body: read_reply(body, self.prompts), "use backend transformers or vllm"
        )

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model and decoding; not the address, which may differ from run to run for the same model."""
        tokenizer = self.prompts.tokenizer
        return {
            "backend": "openai",
            "model": self._config.model_name_or_path,
            "endpoint_api": self._config.endpoint_api,
            "tool_choice": self._config.tool_choice,
            "template": None if tokenizer is None else digest(tokenizer.chat_template),
            **self._config.decoding,
        }

    def sample(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """Sample a completion for each request, also for those that are appended meanwhile; see [`Sampler`]."""
        limits = Limits(self._config.requests_per_minute)
        client, slots = self._client(limits), asyncio.Semaphore(self._config.concurrency)
        finished: queue.SimpleQueue[tuple[int, Future[Completion]]] = queue.SimpleQueue()
        # A thread, so that requests are sent while the caller works, also where a loop runs already (notebooks).
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        async def answer(request: Request) -> Completion:
            async with slots:
                return await self._ask(client, request)

        def submit(index: int) -> None:
            future = asyncio.run_coroutine_threadsafe(answer(requests[index]), loop)
            future.add_done_callback(lambda done: finished.put((index, done)))

        sent = received = 0
        problem: Exception | None = None
        try:
            while True:
                while problem is None and sent < len(requests):
                    submit(sent)
                    sent += 1
                if received == sent:
                    break
                index, done = finished.get()
                received += 1
                try:
                    completion = done.result()
                except (Exception, CancelledError) as error:
                    if not isinstance(error, (BudgetSpent, CancelledError)):
                        problem = problem or error
                    loop.call_soon_threadsafe(limits.close)  # replies to what was sent still come back
                    continue
                yield index, completion
        finally:
            asyncio.run_coroutine_threadsafe(_shut_down(client), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
        if problem is not None:
            raise problem

    async def _ask(self, client: EndpointClient[Completion], request: Request) -> Completion:
        fields = self._fields(request)
        try:
            return await client.complete(**fields)
        except RejectedRequest as error:
            if _TOO_LONG.search(str(error)):
                return Completion("", finish_reason="prompt_too_long")
            if "tools" in fields and _NO_TOOL_PARSER.search(str(error)):
                raise SamplingStopped(
                    "The endpoint does not read tool calls. Give --tool_choice none, so that calls come back as text, or "
                    f"start vLLM with --enable-auto-tool-choice and --tool-call-parser: {error}"
                ) from error
            if self._config.on_rejection == "score_0":
                return Completion(str(error), finish_reason="error")
            raise SamplingStopped(
                f"The endpoint refused a prompt (--on_rejection score_0 scores it 0 and continues): {error}"
            ) from error
        except EndpointUnavailable as error:
            raise SamplingStopped(
                f"The endpoint takes no requests; check model_name_or_path, base_url and api_key_env: {error}"
            ) from error
        except EndpointError as error:
            raise SamplingStopped(f"The endpoint failed again and again: {error}") from error

    def _fields(self, request: Request) -> dict[str, Any]:
        """Body of a request; what the API of OpenAI does not have goes through `extra_body`."""
        config, row = self._config, request.row
        extra: dict[str, Any] = {"top_k": config.top_k} if config.top_k else {}
        fields: dict[str, Any] = {
            "model": config.model_name_or_path,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "max_tokens": config.max_completion_length,
            "seed": request.seed,
            "extra_body": extra,
        }
        if self._render is not None:
            extra["skip_special_tokens"] = False
            return {**fields, "prompt": self._render(row)}
        if isinstance(row["prompt"], str):
            return {**fields, "prompt": row["prompt"]}
        from .rendering import api_messages

        fields["messages"], tools = api_messages(row, self.prompts)
        if tools:
            fields |= {"tools": tools, "tool_choice": config.tool_choice}
        if config.template_kwargs:
            extra["chat_template_kwargs"] = config.template_kwargs
        return fields

    def close(self) -> None:
        """Connections are closed when the last completion has come."""


async def _shut_down(client: EndpointClient[Any]) -> None:
    """Cancel what is under way, and close the connections."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()


def read_reply(body: bytes, prompts: PromptFormat) -> Completion:
    """The completion in the body of a chat completion or a text completion; raises `ValueError` for a broken body."""
    choice, count = first_choice(body)
    cut_off = choice.get("finish_reason") == "length"
    message = choice.get("message")
    try:
        text = choice["text"] if message is None else text_of_message(message, prompts)
    except (KeyError, TypeError, AttributeError):
        raise ValueError("the body is not a completion") from None
    if text is None and isinstance(choice.get("finish_reason"), str):
        text = ""  # the model ended at once, and the server says so
    if not isinstance(text, str):
        raise ValueError("the completion contains no text")
    end = None if prompts.tokenizer is None else prompts.tokenizer.eos_token
    if isinstance(end, str) and not cut_off:
        text = text.removesuffix(end)
    return Completion(text, (), count("prompt_tokens"), "length" if cut_off else "stop", message)


def text_of_message(message: Mapping[str, Any], prompts: PromptFormat) -> Any:
    """The text that a server split into fields, calls as Hermes writes them; `None` for none, other content as it is."""
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
