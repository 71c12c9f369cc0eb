"""A judge behind an OpenAI-compatible chat-completions endpoint."""

import asyncio
import json
import math
import os
import time
from collections.abc import Awaitable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ..cleaning.config import CleaningConfig
from ..cleaning.judges import Reply
from ..cleaning.verdicts import VERDICT_SCHEMA
from .errors import JudgeUnavailable, RejectedQuestion, TransientJudgeError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_TRANSIENT = frozenset({408, 409, 425, 429})
_UNAVAILABLE = frozenset({401, 402, 403, 404, 405, 407})
_CHARACTERS_PER_TOKEN = 3  # for servers that do not count: a low number, so that a budget is not overrun


def retry_after(headers: Mapping[str, str]) -> float | None:
    """
    Seconds that a response asks to wait.

    Args:
        headers (`Mapping[str, str]`):
            Headers of the response.

    Returns:
        `float` or `None`:
            From `retry-after-ms` or `retry-after`, in seconds or as a date; `None` where neither makes sense.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def response_format(kind: str) -> dict[str, Any] | None:
    """The `response_format` field of a request for a verdict; not strict, since arguments are objects of any form."""
    if kind == "json_schema":
        return {"type": kind, "json_schema": {"name": "verdict", "schema": VERDICT_SCHEMA, "strict": False}}
    return {"type": kind} if kind == "json_object" else None


def make_client(
    base_url: str | None, api_key_env: str, request_timeout: float, max_response_bytes: int, without: str
) -> "AsyncOpenAI":
    """
    A client that reads bodies up to a size and tries nothing twice: tries are counted and paced by those who ask.

    Args:
        base_url (`str`, *optional*):
            Address of the endpoint; by default that of OpenAI.
        api_key_env (`str`):
            Environment variable that holds the key; needed only without an address.
        request_timeout (`float`):
            Seconds that a request may take.
        max_response_bytes (`int`):
            Longest body that is read.
        without (`str`):
            What to do without the `openai` package, for the message.

    Returns:
        `AsyncOpenAI`:
            The client.

    Raises:
        ValueError: If the `openai` package or the key is missing.
    """
    try:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient
    except ImportError:
        raise ValueError(
            f"An endpoint needs the openai client: pip install 'egpo-trl[judge]', or {without}."
        ) from None
    from .bounded_body import bound_body

    key = os.environ.get(api_key_env)
    if key is None and base_url is None:
        raise ValueError(
            f"api_key_env: the environment variable {api_key_env} is not set. Set it, or name a server of your own as "
            "base_url."
        )
    return AsyncOpenAI(
        api_key=key or "none",
        base_url=base_url or "https://api.openai.com/v1",
        timeout=request_timeout,
        max_retries=0,
        default_headers={"Accept-Encoding": "identity"},
        http_client=DefaultAsyncHttpxClient(event_hooks={"response": [bound_body(max_response_bytes)]}),
    )


async def body_of(send: Awaitable[Any], request_timeout: float) -> bytes:
    """
    The body of a response, or what failed as one of the errors of a judge.

    Args:
        send (`Awaitable`):
            A raw request of the client.
        request_timeout (`float`):
            Seconds that it may take in all.

    Returns:
        `bytes`:
            The body.

    Raises:
        JudgeError: If there is no response, or one with an error status.
    """
    from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

    try:
        async with asyncio.timeout(request_timeout):
            content: bytes = (await send).content
            return content
    except (TimeoutError, APITimeoutError):
        raise TransientJudgeError(f"no answer within {request_timeout:g} s") from None
    except APIStatusError as error:
        raise _status_error(error.status_code, error.response.headers, str(error)) from None
    except APIConnectionError as error:
        raise TransientJudgeError(f"connection failed: {error.__cause__ or error}") from None
    except OpenAIError as error:
        raise TransientJudgeError(f"request failed: {str(error)[:300]}") from None


class EndpointJudge:
    """
    A judge behind an OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, or a hosted one.

    The body of a response is read up to a size and within a time, then checked field by field.

    Args:
        config ([`CleaningConfig`]):
            Model, address, sampling and limits.

    Raises:
        ValueError: If the `openai` client or the key is missing.
    """

    def __init__(self, config: CleaningConfig) -> None:
        self._config = config
        self._client = make_client(
            config.base_url,
            config.api_key_env,
            config.request_timeout,
            config.max_response_bytes,
            "set judge_backend to transformers or none",
        )
        self._request: dict[str, Any] = {
            "model": config.judge_model,
            "temperature": config.temperature,
            "max_tokens": config.max_tokens,
        }
        form = response_format(config.structured_output)
        if form is not None:
            self._request["response_format"] = form
        if config.chat_template_kwargs:
            self._request["extra_body"] = {"chat_template_kwargs": config.chat_template_kwargs}

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the verdicts depend on; not the address, which may differ from run to run for the same model."""
        fields = ("judge_backend", "judge_model", "temperature", "max_tokens", "judge_seed", "structured_output",
                  "chat_template_kwargs")  # fmt: skip
        return {name: getattr(self._config, name) for name in fields}

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int) -> Reply:
        """Send one request; see [`Judge`]."""
        request = {**self._request, "messages": list(messages), "seed": seed}
        send = self._client.chat.completions.with_raw_response.create(**request)
        body = await body_of(send, self._config.request_timeout)
        return read_body(body, sum(len(message["content"]) for message in messages))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _status_error(status: int, headers: Mapping[str, str], message: str) -> Exception:
    shown = f"status {status}: {message[:300]}"
    if status in _TRANSIENT or status >= 500:
        return TransientJudgeError(shown, retry_after(headers))
    return JudgeUnavailable(shown) if status in _UNAVAILABLE else RejectedQuestion(shown)


def read_body(body: bytes, question_characters: int) -> Reply:
    """
    The reply in the body of a chat-completions response.

    Args:
        body (`bytes`):
            The body.
        question_characters (`int`):
            Length of the question, to estimate its tokens where the server does not count them.

    Returns:
        [`Reply`]:
            Text and tokens.

    Raises:
        TransientJudgeError: If the body is not of that form.
    """
    try:
        value = json.loads(body)
        text = value["choices"][0]["message"]["content"]
    except (ValueError, RecursionError):
        raise TransientJudgeError("the body is not JSON") from None
    except (KeyError, IndexError, TypeError):
        raise TransientJudgeError("the body is no chat completion") from None
    if not isinstance(text, str):
        raise TransientJudgeError("the completion has no text")
    usage = value.get("usage")
    counted = usage.get("total_tokens") if isinstance(usage, dict) else None
    if not isinstance(counted, int) or isinstance(counted, bool) or counted < 0:
        counted = math.ceil((question_characters + len(text)) / _CHARACTERS_PER_TOKEN)
    return Reply(text, counted)
