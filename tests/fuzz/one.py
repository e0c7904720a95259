"""Fuzzes one target in this process, by atheris: ``python -m tests.fuzz.one dns -max_total_time=60 …``.

What follows the target are libFuzzer's own arguments and folders. The code under test is instrumented as it is
imported.
"""

from __future__ import annotations

import random
import sys

import atheris  # type: ignore[import-untyped]  # it is not in .venv, and has no types

from tests.fuzz import harness

STRUCTURED = 0.5
"""How often an input is changed by who knows its structure."""


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    name, *words = sys.argv[1:]
    if name not in harness.TARGETS:
        sys.exit(f"no target {name}: {', '.join(harness.TARGETS)}")
    with atheris.instrument_imports(include=list(harness.TARGETS[name])):
        target = harness.load(name)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        if chance.random() < STRUCTURED:
            fresh = target.mutate(data, chance)
            if fresh is not None and len(fresh) <= most:
                return fresh
        changed: bytes = atheris.Mutate(data, len(data))
        return changed

    atheris.Setup([sys.argv[0], *words], target.check, custom_mutator=mutate, internal_libfuzzer=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
