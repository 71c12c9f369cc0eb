"""Budget and pace."""

import asyncio
import time

import pytest

from egpo_trl.sampling.errors import BudgetSpent
from egpo_trl.sampling.limits import Limits


def take(limits, times=1):
    async def run():
        for _ in range(times):
            await limits.take()

    asyncio.run(run())


def test_budget():
    limits = Limits(max_requests=3, max_tokens=100)
    limits.requests = 1  # spent by the run that this one continues
    take(limits, 2)
    with pytest.raises(BudgetSpent, match=r"max_requests \(3\)"):
        take(limits)
    assert limits.requests == 3
    limits = Limits(max_tokens=100)
    limits.tokens = 99
    take(limits)
    limits.tokens += 50
    with pytest.raises(BudgetSpent, match=r"max_total_tokens \(100\)"):
        take(limits)


def test_requests_are_spaced():
    async def measure():
        limits = Limits(6000)
        start = time.monotonic()
        await asyncio.gather(*(limits.take() for _ in range(11)))
        return time.monotonic() - start

    assert 0.09 < asyncio.run(measure()) < 1


def test_close_ends_every_wait():
    async def measure():
        limits = Limits(1)
        await limits.take()
        waiting = [asyncio.create_task(limits.take()) for _ in range(3)]
        await asyncio.sleep(0.01)
        limits.close()
        found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
        return [type(one) for one in found], limits.requests

    assert asyncio.run(measure()) == ([BudgetSpent] * 3, 1)
