"""The story of ``peerboot lab demo etcd``, in six steps, each of which checks that what it tells is true.

It has five Pods: in step 5 two disks are lost while a third Pod is down. Of three Pods two lost disks would be the
majority of the votes; the cluster's quorum is then gone for ever, and peerboot reports it and changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from peerboot.lab.client import Client, ClientError, Writer
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.demo_sight import Scene
from peerboot.lab.servers import Server
from peerboot.lab.story import Story, Texts
from peerboot.outside.http import Http

REPLICAS = 5
WRITES = 30
WRITE_PAUSE = 0.03
HOLD = 2.0
"""Seconds for which a Pod that must not start anything is watched after it said that it waits."""
CLOSE = 0.1

STEPS = 6
ALL = tuple(f"db-{ordinal}" for ordinal in range(REPLICAS))
SCENES = (
    Scene(
        1,
        "form",
        "Five Pods start at once; every disk is blank.",
        "a cluster forms once each has heard every other say: my disk is blank",
        ("db-0",),
    ),
    Scene(
        2,
        "write",
        "A client writes keys, and goes on until the end, whatever happens.",
        "no acknowledged write may be missing in the end",
        ("db-0",),
    ),
    Scene(
        3,
        "lost disk, dead DNS",
        "db-0 loses its node and its disk, and its DNS is dead (SERVFAIL).",
        "a blank disk that hears nobody: it waits and names them, forms nothing",
        ("db-0",),
    ),
    Scene(
        4,
        "rejoin",
        "The DNS of db-0 is back.",
        "old member removed, new one added as learner, promoted: another id",
        ("db-0",),
    ),
    Scene(
        5,
        "two lost disks, a third down",
        "db-2 is down, and db-0 and db-1 lose their disks: 2 of 5 voters are left.",
        "no quorum: nothing forms, nobody is removed, the client waits",
        ("db-0", "db-1"),
    ),
    Scene(
        5,
        "the third returns",
        "db-2 returns with its data: 3 of 5 are a quorum again.",
        "both rejoin, one at a time; etcd itself wants 5 s of calm before",
        ("db-0", "db-1"),
    ),
    Scene(
        6,
        "all restarted",
        "Everything is killed at once, and started again.",
        "each starts with its own data, whoever is there; no member id changes",
        ALL,
    ),
)
TEXTS = Texts(
    head=f"One etcd {{version}} cluster of {REPLICAS} Pods, id {{cluster}}, formed and healed:",
    account=f"{{writes}} acknowledged writes, 0 missing (each of the {REPLICAS} members was asked)",
    notes=(
        "Why five Pods: of three, two lost disks are the majority of the votes. Quorum is",
        "then gone for ever; peerboot says so and changes nothing, a person must decide.",
    ),
    trying=(
        "{program} lab up etcd",
        "{program} lab wipe db-0 && {program} lab status",
        "{program} lab exec db-0 explain",
        "{program} lab dns servfail; {program} lab exec db-0 plan",
        "{program} lab down",
    ),
)


class EtcdStory(Story):
    """Tells it once."""

    scenes = SCENES
    texts = TEXTS

    def __init__(self, lab: Lab, writer: Writer) -> None:
        super().__init__(writer, lab)
        self._lab = lab
        self._writer = writer
        self._old: dict[int, str] = {}

    @classmethod
    def of(cls, root: Path, server: Server) -> Self:
        """With a lab of its own."""
        lab = Lab(LabSpec(root=root, server=server, replicas=REPLICAS))
        return cls(lab, Writer(lambda: [lab.client_url(ordinal) for ordinal in sorted(lab.pods)], pause=WRITE_PAUSE))

    def parts(self) -> tuple[Callable[[], Awaitable[str]], ...]:
        """One for each scene."""
        return self._form, self._write, self._dead_dns, self._rejoin, self._two_lost, self._both_rejoin, self._all

    # ---------------------------------------------------------------- scenes

    async def _form(self) -> str:
        await self._lab.start()
        await self.ready()
        return "five blank disks: one cluster formed"

    async def _write(self) -> str:
        self._writer.start()
        await self._writes(WRITES)
        return "a client writes, until the end"

    async def _dead_dns(self) -> str:
        self._old = await self._members(0, 1)
        self._lab.dns.fault("servfail", "db-0")
        await self._lab.wipe(0)
        await self._lab.until_rule(0, "wait-for-all")
        await self._stay_out(0)
        return "db-0, no disk and no DNS: waited, formed nothing"

    async def _rejoin(self) -> str:
        self._lab.dns.fault("ok", "db-0")
        await self.ready()
        return f"db-0 rejoined as a new member: {await self._renewed(0)}"

    async def _two_lost(self) -> str:
        self._old = await self._members(0, 1)
        await self._lab.crash(2, recreate=False)
        # Both at once: one alone would be replaced, the four others being a quorum without it.
        await asyncio.gather(self._lab.wipe(0), self._lab.wipe(1))
        for ordinal in (0, 1):
            await self._lab.until_rule(ordinal, "cluster-exists", "wait-for-all")
        await self._stay_out(0, 1)
        return "db-0 and db-1 lost their disks, db-2 down: nothing formed"

    async def _both_rejoin(self) -> str:
        await self._lab.create(2)
        await self.ready(90)
        return f"db-2 back, both rejoined: {await self._renewed(0)}, {await self._renewed(1)}"

    async def _all(self) -> str:
        await self.restarted("member ids")
        await self._writes(WRITES)
        return "all killed, all started again: the same five members"

    # ---------------------------------------------------------------- checks

    async def account(self, clusters: set[str]) -> str:
        """The last check: one cluster, and every acknowledged write on every member."""
        await self._writer.stop()
        cluster = self.one(clusters)
        http = Http()
        try:
            for ordinal in self._lab.ordinals:
                url, name = self._lab.client_url(ordinal), self._lab.pod_name(ordinal)
                listed = await Client(url, http).call("/v3/cluster/member/list", {"linearizable": True})
                own = f"{int(listed['header']['cluster_id']):x}"
                self.must(own == cluster, f"{name} serves cluster {own}, not {cluster}")
                voters = [row for row in listed["members"] if not row.get("isLearner")]
                self.must(len(voters) == REPLICAS, f"{name} lists {len(voters)} voters, not {REPLICAS}")
                missing = await self._writer.missing(url)
                lost = f"{len(missing)} acknowledged writes are missing on {name}, the first is {missing[:1]}"
                self.must(not missing, lost)
        except ClientError as error:
            self.fail(f"the last check got no answer: {error}")
        finally:
            await http.close()
        return cluster

    async def _stay_out(self, *ordinals: int) -> None:
        """Watch that no server of these Pods starts, and so nothing can form, for a while."""
        end = time.monotonic() + HOLD
        while time.monotonic() < end:
            for ordinal in ordinals:
                name = self._lab.pod_name(ordinal)
                self.must(self._lab.pods[ordinal].server.starts == 0, f"{name} started its server on a blank disk")
            await asyncio.sleep(CLOSE)

    async def _members(self, *ordinals: int) -> dict[int, str]:
        return await self.members(self._lab, *ordinals)

    async def _renewed(self, ordinal: int) -> str:
        """Old and new member id; they must differ."""
        old, new = self._old[ordinal], (await self._members(ordinal))[ordinal]
        self.must(new != old, f"{self._lab.pod_name(ordinal)} lost its disk and is still member {old}")
        return f"{old[:8]} > {new[:8]}"

    async def _writes(self, more: int) -> None:
        goal = self.written + more

        async def enough() -> bool:
            return self.written >= goal

        await self._lab.until(f"{more} more acknowledged writes", enough)
