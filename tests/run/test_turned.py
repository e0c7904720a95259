"""Turned time itself: the tests of this folder stand on it."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.run.turned import TurnedClock, run, turned


@turned
async def test_a_day_passes_at_once() -> None:
    """Sleeping costs no time of ours, and the loop's clock moves by what was slept."""
    clock, began = TurnedClock(), time.process_time()
    before = clock.now()
    await clock.sleep(86400)
    assert 86400 <= clock.now() - before < 86401
    assert clock.wall() - clock.now() == TurnedClock().wall() - TurnedClock().now()
    assert time.process_time() - began < 10


@turned
async def test_who_is_due_first_goes_first() -> None:
    """Sleepers wake in the order of their times, whatever order they began in."""
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append(seconds)

    await asyncio.gather(*(sleep(seconds) for seconds in (300.0, 0.1, 20.0, 0.2)))
    assert woken == [0.1, 0.2, 20.0, 300.0]


@turned
async def test_timeouts_are_turned_too() -> None:
    """asyncio's own time-outs go by the same clock."""
    before = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(600):
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() - before >= 600


def test_waiting_for_nothing_fails() -> None:
    """When nobody is due any more the test fails instead of hanging."""

    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing is due any more"):
        run(forever())


def test_randomness_repeats() -> None:
    """One seed gives the same jitter and tokens at each run, another seed others."""
    one, same, other = TurnedClock(7), TurnedClock(7), TurnedClock(8)
    drawn = [(clock.jitter(), clock.token(), clock.token(4)) for clock in (one, same, other)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(part) for part in drawn[0][1:]] == [32, 8]
