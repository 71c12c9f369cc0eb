"""Asks OpenAI-compatible endpoints, with openai's retries, bodies up to a size, and a budget of requests."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from .config import EndpointConfig
from .errors import EndpointError, EndpointUnavailable, RejectedRequest
from .limits import Limits

_TRANSIENT = frozenset({408, 409, 425})
_UNAVAILABLE = frozenset({401, 402, 403, 404, 405, 407})
_REPLY = "egpo_trl.reply"
Reply = TypeVar("Reply")


class EndpointClient(Generic[Reply]):
    """Sends requests to an OpenAI-compatible endpoint, again after a passing failure or a body that `read` refuses."""

    def __init__(self, config: EndpointConfig, limits: Limits, read: Callable[[bytes], Reply], remedy: str) -> None:
        try:
            import httpx2
            from openai import AsyncOpenAI, DefaultAsyncHttpxClient
        except ImportError:
            raise ValueError(
                f"An endpoint needs the openai client: pip install 'egpo-trl[judge]', or {remedy}."
            ) from None
        key = os.environ.get(config.api_key_env)
        if key is None and config.base_url is None:
            raise ValueError(
                f"api_key_env: the environment variable {config.api_key_env} is not set. Set it, or name a server of your "
                "own as base_url."
            )
        seconds, most = config.request_timeout, config.max_response_bytes

        class Client(DefaultAsyncHttpxClient):
            async def send(self, request: Any, **options: Any) -> httpx2.Response:
                await limits.take()
                try:
                    async with asyncio.timeout(seconds):
                        response = await super().send(request, **{**options, "stream": True})
                        try:
                            body = await _read_body(response, most)
                        finally:
                            await response.aclose()
                except TimeoutError:
                    raise httpx2.ReadTimeout(f"no answer within {seconds:g} s", request=request) from None
                extensions: dict[str, Any] = {}
                if response.is_success:
                    try:
                        extensions[_REPLY] = read(body)
                    except ValueError as error:
                        raise httpx2.RemoteProtocolError(str(error), request=request) from None
                return httpx2.Response(
                    response.status_code, headers=response.headers, content=body, request=request,
                    extensions=extensions,
                )  # fmt: skip

        async def _read_body(response: httpx2.Response, most: int) -> bytes:
            if response.headers.get("content-encoding", "identity") != "identity":  # could unfold to any size
                raise httpx2.RemoteProtocolError("the body is compressed though this was not accepted")
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > most:
                    raise httpx2.RemoteProtocolError(f"the body is longer than max_response_bytes ({most})")
            return bytes(body)

        self._seconds = seconds
        self._client = AsyncOpenAI(
            api_key=key or "none",
            base_url=config.base_url or "https://api.openai.com/v1",
            timeout=seconds,
            max_retries=config.max_retries,
            default_headers={"Accept-Encoding": "identity"},
            http_client=Client(),
        )

    async def complete(self, **fields: Any) -> Reply:
        """The reply to a text completion (with a `prompt`) or a chat completion; raises [`EndpointError`]."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

        api = self._client.completions if "prompt" in fields else self._client.chat.completions
        try:
            response = await api.with_raw_response.create(**fields)
            reply: Reply = response.http_response.extensions[_REPLY]
            return reply
        except APITimeoutError:
            raise EndpointError(f"no answer within {self._seconds:g} s") from None
        except APIStatusError as error:
            raise _status_error(error.status_code, error.response.headers, str(error)) from None
        except APIConnectionError as error:
            raise EndpointError(f"connection failed: {error.__cause__ or error}") from None
        except OpenAIError as error:
            raise EndpointError(f"request failed: {str(error)[:300]}") from None

    async def close(self) -> None:
        await self._client.close()


def _status_error(status: int, headers: Mapping[str, str], message: str) -> EndpointError:
    shown = f"status {status}: {message[:300]}"
    if status == 429:
        wait = f" (Retry-After: {headers['retry-after']})" if "retry-after" in headers else ""
        return EndpointUnavailable(
            f"{shown}{wait}. The server is busy: lower concurrency or requests_per_minute, or run again later"
        )
    if status in _TRANSIENT or status >= 500:
        return EndpointError(shown)
    return EndpointUnavailable(shown) if status in _UNAVAILABLE else RejectedRequest(shown)


def first_choice(body: bytes) -> tuple[Mapping[str, Any], Callable[[str], int | None]]:
    """The first choice in a body, and the counts of tokens by name; raises `ValueError` for a body without a choice."""
    try:
        value = json.loads(body)
        choice, usage = value["choices"][0], value.get("usage")
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("the body is not JSON") from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):  # such as a number of too many digits
        raise ValueError("the body is not a completion") from None
    if not isinstance(choice, dict):
        raise ValueError("the body is not a completion")

    def count(name: str) -> int | None:
        number = usage.get(name) if isinstance(usage, dict) else None
        return number if type(number) is int and number >= 0 else None

    return choice, count
