"""How fast and how much a judge is asked: pace, back-off, budget."""

import asyncio
import contextlib
import random
import time
from typing import Protocol

from .errors import JudgeUnavailable, TransientJudgeError


class BudgetSpent(RuntimeError):
    """The budget leaves no further request."""


class Budget:
    """
    Requests and tokens spent, and their limits.

    Args:
        max_requests (`int`, *optional*):
            Most requests.
        max_tokens (`int`, *optional*):
            Most tokens. Checked before a request, so those in flight may overrun it.
        requests (`int`, *optional*, defaults to `0`):
            Requests spent before, by a run that this one resumes.
        tokens (`int`, *optional*, defaults to `0`):
            Tokens spent before.
    """

    def __init__(
        self, max_requests: int | None = None, max_tokens: int | None = None, requests: int = 0, tokens: int = 0
    ) -> None:
        self.max_requests, self.max_tokens = max_requests, max_tokens
        self.requests, self.tokens = requests, tokens

    def take_request(self) -> None:
        """Count a request that is about to be sent; raises [`BudgetSpent`] if there is none left."""
        if self.max_requests is not None and self.requests >= self.max_requests:
            raise BudgetSpent(f"max_requests ({self.max_requests}) is spent")
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            raise BudgetSpent(f"max_total_tokens ({self.max_tokens}) is spent")
        self.requests += 1

    def close(self) -> None:
        """Leave no further request."""
        self.max_requests = self.requests


class Pace:
    """
    Spaces requests evenly, and holds all of them while the server asks to wait.

    Args:
        requests_per_minute (`int`, *optional*):
            Most requests a minute.
    """

    def __init__(self, requests_per_minute: int | None = None) -> None:
        self._interval = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next = 0.0
        self._held_until = 0.0
        self._closed = asyncio.Event()

    async def wait(self) -> None:
        """Return when the next request may be sent."""
        if self._interval:
            now = time.monotonic()
            slot = max(now, self._next)
            self._next = slot + self._interval
            await self.sleep(slot - now)
        while not self._closed.is_set() and (left := self._held_until - time.monotonic()) > 0:
            await self.sleep(left)

    async def sleep(self, seconds: float) -> None:
        """Wait, or until the pace is closed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), seconds)

    def hold(self, seconds: float) -> None:
        """Send nothing for some seconds."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)

    def close(self) -> None:
        """End every wait at once."""
        self._closed.set()


def backoff(tries: int, first: float, longest: float) -> float:
    """
    Wait before a further try: exponential, with jitter so that clients do not come back together.

    Args:
        tries (`int`):
            Further tries made before.
        first (`float`):
            Seconds at the first.
        longest (`float`):
            Most seconds.

    Returns:
        `float`:
            Seconds, between half and the whole of the exponential wait.
    """
    return min(longest, first * 2.0 ** min(tries, 60)) * random.uniform(0.5, 1.0)


class Waits(Protocol):
    """How long to wait between the tries of a question, in seconds."""

    backoff_seconds: float
    max_backoff_seconds: float
    max_retry_after: float


async def wait_for_another_try(error: TransientJudgeError, tries: int, pace: Pace, waits: Waits) -> None:
    """
    Wait before a question is sent again: as long as the server asks, or an exponential back-off.

    Args:
        error ([`TransientJudgeError`]):
            What failed.
        tries (`int`):
            Further tries made before.
        pace ([`Pace`]):
            Pace of all questions; a wait that the server asks for holds all of them.
        waits ([`Waits`]):
            First and longest waits.

    Raises:
        JudgeUnavailable: If the server asks for longer than `max_retry_after`.
    """
    asked = error.retry_after
    if asked is not None and asked > waits.max_retry_after:
        raise JudgeUnavailable(
            f"the server asks to wait {asked:.0f} s, longer than max_retry_after ({waits.max_retry_after:g}): {error}"
        )
    if asked is not None:
        pace.hold(asked)
    await pace.sleep(max(asked or 0.0, backoff(tries, waits.backoff_seconds, waits.max_backoff_seconds)))
