"""The protocol of judges, and two of them: an endpoint and a model in this process."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..sampling.completion import Completion
from ..sampling.endpoint import EndpointClient, first_choice
from ..sampling.errors import RejectedRequest
from ..sampling.limits import Limits
from ..sampling.sampler import Request, Sampler
from .config import CleaningConfig
from .verdicts import VERDICT_SCHEMA

_CHARACTERS_PER_TOKEN = 3  # for servers that do not count: a low number, so that a budget is not exceeded


@dataclass(frozen=True)
class Reply:
    text: str
    tokens: int = 0


class Judge(Protocol):
    """A judge. Any object with these members will do."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What its verdicts depend on, as JSON values: a journal is continued only by the judge that began it."""

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int) -> Reply:
        """
        Answer a question.

        Args:
            messages (`Sequence[Mapping[str, str]]`):
                System and user message.
            seed (`int`):
                Differs when a question is asked again because its reply was not a verdict.

        Returns:
            [`Reply`]:
                The reply.

        Raises:
            EndpointError: If there is none.
        """

    async def close(self) -> None:
        """Close connections."""


def _identity(config: CleaningConfig, *names: str) -> dict[str, Any]:
    common = ("backend", "model_name_or_path", "temperature", "max_completion_length", "seed", "chat_template_kwargs")
    return {name: getattr(config, name) for name in (*common, *names)}


class EndpointJudge:
    """A judge at an OpenAI-compatible endpoint; its client counts each request in `limits`, retries included."""

    def __init__(self, config: CleaningConfig, limits: Limits) -> None:
        self._config = config
        self._client = EndpointClient(config, limits, read_reply, "set backend to transformers or none")
        self._fields: dict[str, Any] = {
            "model": config.model_name_or_path,
            "temperature": config.temperature,
            "max_tokens": config.max_completion_length,
        }
        form = response_format(config.structured_output)
        if form is not None:
            self._fields["response_format"] = form
        if config.chat_template_kwargs:
            self._fields["extra_body"] = {"chat_template_kwargs": config.chat_template_kwargs}

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the verdicts depend on; not the address, which may differ from run to run for the same model."""
        return _identity(self._config, "structured_output")

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int) -> Reply:
        text, counted = await self._client.complete(**self._fields, messages=list(messages), seed=seed)
        if counted is None:
            characters = sum(len(message["content"]) for message in messages) + len(text)
            counted = math.ceil(characters / _CHARACTERS_PER_TOKEN)
        return Reply(text, counted)

    async def close(self) -> None:
        await self._client.close()


def response_format(kind: str) -> dict[str, Any] | None:
    """The `response_format` field of a request for a verdict; not strict, since arguments are objects of any form."""
    if kind == "json_schema":
        return {"type": kind, "json_schema": {"name": "verdict", "schema": VERDICT_SCHEMA, "strict": False}}
    return {"type": kind} if kind == "json_object" else None


def read_reply(body: bytes) -> tuple[str, int | None]:
    """Text of a chat completion and its tokens, where the server counts them; raises `ValueError` for a broken body."""
    choice, count = first_choice(body)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise ValueError("the body is not a chat completion")
    if not isinstance(message.get("content"), str):
        raise ValueError("the completion contains no text")
    return message["content"], count("total_tokens")


class LocalJudge:
    """A model in this process as judge: the questions that wait are sampled together, in a thread."""

    def __init__(self, config: CleaningConfig, sampler: Sampler) -> None:
        self._config, self._sampler = config, sampler
        self._waiting: list[tuple[Request, asyncio.Future[Completion]]] = []
        self._worker: asyncio.Task[None] | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        return _identity(self._config)

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int) -> Reply:
        """Answer with the next batch; see [`Judge`]."""
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting.append((Request({"prompt": list(messages)}, seed), future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._answer())
        completion = await future
        length, written = completion.num_prompt_tokens or 0, len(completion.completion_ids)
        if completion.finish_reason == "error":
            raise RejectedRequest(completion.text)
        too_long = completion.finish_reason == "prompt_too_long"
        if too_long or (completion.finish_reason == "length" and written < self._config.max_completion_length):
            raise RejectedRequest(
                f"{length} tokens and a reply of max_completion_length ({self._config.max_completion_length}) exceed the "
                "model's context"
            )
        return Reply(completion.text, length + written)

    async def _answer(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # lets the rows that were just answered ask their next question
            size = self._config.batch_size
            batch, self._waiting = self._waiting[:size], self._waiting[size:]
            try:
                found = await asyncio.to_thread(lambda asked: dict(self._sampler.sample(asked)), [r for r, _ in batch])
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for index, (_, future) in enumerate(batch):
                if not future.done():
                    future.set_result(found[index])

    async def close(self) -> None:
        if self._worker is not None:
            await self._worker
        self._sampler.close()
