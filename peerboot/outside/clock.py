"""The door to time and randomness, so that tests turn the clock instead of waiting."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Time, sleep and randomness as the stages see them."""

    def now(self) -> float:
        """Monotonic seconds."""

    def wall(self) -> float:
        """Seconds since the Unix epoch."""

    async def sleep(self, seconds: float) -> None:
        """Wait; cancellable."""

    def jitter(self) -> float:
        """A uniform number in [0, 1), for spreading load; never for secrets."""

    def token(self, size: int = 16) -> str:
        """``size`` random bytes as lower-case hex, fit for nonces and challenges."""


def process_age() -> float:
    """Seconds since this process was started (proc(5): starttime, in ticks since boot); 0 where that is not told."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


class SystemClock:
    """The machine's own clock and randomness."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        return random.random()  # noqa: S311 - spreads polling, guards nothing

    def token(self, size: int = 16) -> str:
        return secrets.token_hex(size)
