"""Time that is turned, not waited for: an event loop whose clock jumps to the next thing that is due.

``@turned`` runs an async test on such a loop, so that five minutes of a story take milliseconds and every run of one
seed goes the same way.
"""

from __future__ import annotations

import asyncio
import functools
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

EPOCH = 1_767_225_600.0
"""The wall clock at the loop's zero: 2026-01-01T00:00:00Z."""


class _Selector(selectors.DefaultSelector):
    """Never waits: what it was told to wait is added to the loop's time."""

    turn: Callable[[float], None]

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("nothing is due any more: everything waits for something that will never happen")
        self.turn(timeout)
        return ready


class TurnedLoop(asyncio.SelectorEventLoop):
    """``time()`` moves only when everybody sleeps, and then to the first who wakes."""

    def __init__(self) -> None:
        self._turned_time = 1000.0
        selector = _Selector()
        selector.turn = self._turn
        super().__init__(selector)

    def time(self) -> float:
        return self._turned_time

    def _turn(self, seconds: float) -> None:
        # A little more than asked, as a real clock gives: a timer must not be a rounding error early.
        self._turned_time += seconds + 1e-6


class TurnedClock:
    """Fulfils ``peerboot.outside.clock.Clock`` by the running loop's time; its randomness is that of a seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return EPOCH + self.now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        return self._random.random()

    def token(self, size: int = 16) -> str:
        return self._random.randbytes(size).hex()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own whose time is turned."""
    with asyncio.Runner(loop_factory=TurnedLoop) as runner:
        return runner.run(main)


def turned(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """An async test whose time is turned."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(test(*args, **kwargs))

    return wrapper
