"""Budget, pace and back-off."""

import asyncio
import time

import pytest

from egpo_trl.sampling.pace import Budget, BudgetSpent, Pace, backoff


def test_budget():
    budget = Budget(max_requests=3, max_tokens=100, requests=1)
    budget.take_request()
    budget.take_request()
    with pytest.raises(BudgetSpent, match=r"max_requests \(3\)"):
        budget.take_request()
    assert budget.requests == 3
    budget = Budget(max_tokens=100, tokens=99)
    budget.take_request()
    budget.tokens += 50
    with pytest.raises(BudgetSpent, match=r"max_total_tokens \(100\)"):
        budget.take_request()
    open_ended = Budget()
    open_ended.take_request()
    open_ended.close()
    with pytest.raises(BudgetSpent):
        open_ended.take_request()


def test_pace_spaces_requests():
    async def measure():
        pace = Pace(6000)
        start = time.monotonic()
        await asyncio.gather(*(pace.wait() for _ in range(11)))
        return time.monotonic() - start

    assert 0.09 < asyncio.run(measure()) < 1


def test_hold_stops_everybody_and_close_ends_it():
    async def measure():
        pace = Pace()
        start = time.monotonic()
        pace.hold(0.1)
        pace.hold(0.01)
        await asyncio.gather(pace.wait(), pace.wait())
        held = time.monotonic() - start
        pace.hold(100)
        waiting = [asyncio.create_task(pace.wait()), asyncio.create_task(pace.sleep(100))]
        await asyncio.sleep(0.01)
        pace.close()
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        return held

    assert 0.09 < asyncio.run(measure()) < 1


def test_backoff_doubles_with_jitter_up_to_a_limit():
    for tries, whole in ((0, 1), (1, 2), (3, 8), (6, 60), (10_000, 60)):
        waits = [backoff(tries, 1.0, 60.0) for _ in range(200)]
        assert whole / 2 <= min(waits) < max(waits) <= whole
