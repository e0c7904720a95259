"""Every measurement, one after the other: ``python -m benchmarks``."""

from __future__ import annotations

import asyncio

from benchmarks import formation, imports, messages, resting, start

RUNS = 10
REST_SECONDS = 60.0

if __name__ == "__main__":
    asyncio.run(formation.measure(RUNS))
    asyncio.run(resting.measure(REST_SECONDS))
    start.measure(RUNS)
    messages.main()
    imports.main()
