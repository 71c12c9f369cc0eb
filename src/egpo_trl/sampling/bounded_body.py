"""Bodies of any response, errors included, are read up to a size: a server must not fill the memory."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, limit: int) -> None:
        self._stream, self._limit = stream, limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > self._limit:
                raise httpx2.RemoteProtocolError(f"the body is longer than max_response_bytes ({self._limit})")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def bound_body(limit: int) -> Callable[[httpx2.Response], Awaitable[None]]:
    """
    A response hook of an HTTP client that bounds what is read.

    Args:
        limit (`int`):
            Most bytes of a body. One that is compressed could unfold to any size, so it is refused.

    Returns:
        `Callable`:
            The hook.
    """

    async def hook(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx2.RemoteProtocolError("the body is compressed though this was not accepted")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, limit)

    return hook
