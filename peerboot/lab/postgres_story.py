"""The story of ``peerboot lab demo postgres``, in six steps, each of which checks that what it tells is true.

Every commit waits for one standby to confirm it, so that no acknowledged row is on one disk alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Self

from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.demo_sight import Scene
from peerboot.lab.postgres_client import PATIENT, Writer, primaries
from peerboot.lab.servers import Server
from peerboot.lab.story import Story, Texts

REPLICAS = 3
WRITES = 30
HOLD = 2.0
"""Seconds for which Pods that must not be promoted are watched after they said that they wait."""
CLOSE = 0.2
TRIES = 30
ENV = {"PEERBOOT_POSTGRES_SYNCHRONOUS": "1"}
ALL = tuple(f"db-{ordinal}" for ordinal in range(REPLICAS))
SCENES = (
    Scene(
        1,
        "form",
        "Three Pods start at once; every disk is blank.",
        "all are born together; db-0 runs initdb and takes the writes, the others copy it",
        ALL,
    ),
    Scene(
        2,
        "write",
        "A client of libpq writes rows, and goes on until the end, whatever happens.",
        "no acknowledged row may be missing in the end",
        ("db-0",),
    ),
    Scene(
        3,
        "the primary's Pod is killed",
        "db-0 is killed, and a new Pod gets its volume.",
        "it starts as a standby, asks all others, and takes the writes again, on a new timeline",
        ("db-0",),
    ),
    Scene(
        4,
        "switchover, lost disk of the seed",
        "A person moves the writes to db-2. Then db-0 loses its disk.",
        "the lowest ordinal makes no second cluster: it copies db-2",
        ("db-0", "db-2"),
    ),
    Scene(
        5,
        "the primary is gone",
        "db-0 and db-1 are down, commits wait; then db-2 is down too, and the others return.",
        "nobody is promoted by itself: db-2 may have more. A person promotes db-1",
        ("db-0", "db-1"),
    ),
    Scene(
        5,
        "it returns",
        "db-2 returns, with what it wrote while nobody copied it, and told nobody of.",
        "its log is kept aside, its data is rewound, and it copies db-1",
        ("db-2",),
    ),
    Scene(
        6,
        "all restarted",
        "Everything is killed at once, and started again.",
        "the last primary takes the writes, no other",
        ALL,
    ),
)
TEXTS = Texts(
    head=f"One Postgres {{version}} cluster of {REPLICAS}, id {{cluster}}, formed and healed:",
    account=f"{{writes}} acknowledged rows, 0 missing (each of the {REPLICAS} servers was asked)",
    notes=(
        "peerboot promotes nobody past a Pod that is silent, for that one may have more.",
        "Failover without a person needs servers that vote; it names who waits for whom.",
    ),
    trying=(
        "{program} lab up postgres",
        "{program} lab exec db-1 postgres switchover --yes",
        "{program} lab wipe db-0 && {program} lab status",
        "{program} lab down",
    ),
)


class PostgresStory(Story):
    """Tells it once."""

    scenes = SCENES
    texts = TEXTS

    def __init__(self, lab: Lab, writer: Writer) -> None:
        super().__init__(writer, lab)
        self._lab = lab
        self._writer = writer

    @classmethod
    def of(cls, root: Path, server: Server) -> Self:
        """With a lab of its own."""
        lab = Lab(LabSpec(root=root, server=server, replicas=REPLICAS, env=ENV))
        return cls(lab, Writer(lab))

    def parts(self) -> tuple[Callable[[], Awaitable[str]], ...]:
        """One for each scene."""
        return self._form, self._write, self._killed, self._switched, self._gone, self._returned, self._all

    # ---------------------------------------------------------------- scenes

    async def _form(self) -> str:
        await self._lab.start()
        await self.ready(PATIENT)
        await self._takes(0)
        return "three blank disks: one cluster, db-0 takes the writes"

    async def _write(self) -> str:
        await self._writer.start()
        await self._writer.grows(WRITES)
        return "a client writes, until the end"

    async def _killed(self) -> str:
        await self._lab.crash(0)
        await self._writer.grows(WRITES)
        await self.ready(PATIENT)
        await self._takes(0)
        return "db-0 came back and takes the writes again"

    async def _switched(self) -> str:
        await self._person(2, "switchover")
        await self._lab.until("db-2 takes the writes", partial(self._is_primary, 2), PATIENT)
        await self._lab.wipe(0)
        await self.ready(PATIENT)
        await self._takes(2)
        await self._writer.grows(WRITES)
        return "writes moved to db-2; db-0 lost its disk and copied db-2"

    async def _gone(self) -> str:
        await self._lab.crash(0, recreate=False)
        await self._writer.grows(1)
        await self._lab.crash(1, recreate=False)
        await asyncio.sleep(HOLD)
        await self._lab.crash(2, recreate=False)
        await asyncio.gather(self._lab.create(0), self._lab.create(1))
        await self._lab.until("db-1 has heard all that are there", self._knows, PATIENT)
        await self._nobody()
        await self._person(1, "promote")
        await self._lab.until("db-1 takes the writes", partial(self._is_primary, 1), PATIENT)
        await self._writer.grows(WRITES)
        return "db-2 away: nobody was promoted until a person said db-1"

    async def _returned(self) -> str:
        await self._lab.create(2)
        await self.ready(PATIENT)
        await self._takes(1)
        kept = [path.name for path in self._lab.volume(2).iterdir() if ".before-" in path.name]
        self.must(len(kept) == 1, f"db-2 was not rewound once: {kept}")
        return "db-2 came back, was rewound, and copies db-1"

    async def _all(self) -> str:
        await self.restarted("servers", PATIENT)
        await self._takes(1)
        await self._writer.grows(WRITES)
        return "all killed, all started again: db-1 takes the writes"

    # ---------------------------------------------------------------- checks

    async def account(self, clusters: set[str]) -> str:
        """The last check: one cluster, and every acknowledged row on every server."""
        await self._writer.stop()
        cluster = self.one(clusters)
        for ordinal in self._lab.ordinals:
            await self._lab.until(f"db-{ordinal} has all rows", partial(self._has_all, ordinal), PATIENT)
        return cluster

    async def _has_all(self, ordinal: int) -> bool:
        return not await self._writer.missing(ordinal)

    async def _takes(self, ordinal: int) -> None:
        found = await primaries(self._lab)
        self.must(found == [ordinal], f"not db-{ordinal} alone takes writes, but {found}")

    async def _is_primary(self, ordinal: int) -> bool:
        return await primaries(self._lab) == [ordinal]

    async def _knows(self) -> bool:
        reason = str((await self._lab.decision(1)).get("reason", ""))
        return "without the word of db-2:" in reason

    async def _nobody(self) -> None:
        """Watch that no server takes writes for a while."""
        end = time.monotonic() + HOLD
        while time.monotonic() < end:
            found = await primaries(self._lab)
            self.must(not found, f"{found} take writes although db-2 is silent")
            await asyncio.sleep(CLOSE)

    async def _person(self, ordinal: int, command: str) -> None:
        """What a person types in one Pod."""
        for _ in range(TRIES):
            done = await self._lab.pods[ordinal].run("postgres", command, "--yes")
            if done.returncode == 0:
                break
            # Of a Pod that has just come back the new address may not be known yet.
            await asyncio.sleep(1.0)
        self.must(done.returncode == 0, f"`peerboot postgres {command}` said: {done.stderr.strip()}")
        self.say(f"db-{ordinal}: a person typed `peerboot postgres {command} --yes`")
