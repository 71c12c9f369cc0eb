"""[`Limits`]: limits on the rate and number of requests."""

import asyncio
import contextlib
import time

from .errors import BudgetSpent


class Limits:
    """Requests and tokens spent, and their limits, which requests in flight may exceed."""

    def __init__(
        self,
        requests_per_minute: int | None = None,
        max_requests: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.max_requests, self.max_tokens = max_requests, max_tokens
        self.requests = self.tokens = 0
        self._interval = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next = 0.0
        self._closed = asyncio.Event()

    async def take(self) -> None:
        """Wait until the next request may be sent, and count it; raises [`BudgetSpent`] if none is left."""
        if self._interval:
            now = time.monotonic()
            slot = max(now, self._next)
            self._next = slot + self._interval
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), slot - now)
        if self._closed.is_set():
            raise BudgetSpent("the run is being stopped")
        for name, limit, spent in (
            ("max_requests", self.max_requests, self.requests),
            ("max_total_tokens", self.max_tokens, self.tokens),
        ):
            if limit is not None and spent >= limit:
                raise BudgetSpent(f"{name} ({limit}) is spent")
        self.requests += 1

    def close(self) -> None:
        """Leave no further request, and end every wait at once."""
        self._closed.set()
