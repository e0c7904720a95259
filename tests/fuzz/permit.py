"""The permit's text, as both systems with a launch script read it.

Input: a byte that says whose, then the text.

Held: nothing is raised; what is taken can be written again, and reads the same; it names a plan that can be part of a
file's name.
"""

from __future__ import annotations

import random

from peerboot import permits
from peerboot.systems.kafka import launch as kafka
from peerboot.systems.kafka import script as kafka_script
from peerboot.systems.postgres import launch as postgres
from peerboot.systems.postgres import script as postgres_script
from tests.fuzz.harness import expect

WORDS = (
    *(f"{key}=".encode() for key in sorted({*kafka_script.KEYS, *postgres_script.KEYS})),
    f"{kafka_script.LOG}=/".encode(),
    b"end=0123456789abcdef\n", b"plan=0123456789abcdef\n", b"resume", b"format", b"clone", b"rewind", b"init", b"true",
)  # fmt: skip
LONGEST = 2048


def check(data: bytes) -> None:
    """One input."""
    whose, text = data[0] if data else 0, data[1:].decode("utf-8", "replace")
    if whose % 2:
        read = kafka.read_permit(text)
        if read is not None:
            expect(kafka.read_permit(kafka.permit_text(read, "why")) == read, "written again it reads otherwise")
            _is_plan(read.plan)
        return
    found = postgres.read_permit(text)
    if found is not None:
        expect(postgres.read_permit(postgres.permit_text(found, "why")) == found, "written again it reads otherwise")
        _is_plan(found.plan)


def _is_plan(plan: str) -> None:
    expect(plan.isascii() and plan.isalnum() and permits.LEAST_PLAN <= len(plan) <= permits.MOST_PLAN, plan)


def mutate(data: bytes, chance: random.Random) -> bytes | None:
    """A line gone, doubled, or in another place."""
    lines = data[1:].split(b"\n")
    one = chance.randrange(len(lines))
    match chance.randrange(3):
        case 0:
            lines.insert(chance.randrange(len(lines)), lines[one])
        case 1:
            lines.insert(chance.randrange(len(lines)), lines.pop(one))
        case _:
            del lines[one]
    return data[:1] + b"\n".join(lines)
