"""The story of ``peerboot lab demo kafka``: controllers and brokers as two sets, a producer throughout, disks lost, a
broker more and a broker less, everything restarted; in the end no acknowledged record may be missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.demo_sight import Scene
from peerboot.lab.kafka_client import BROKER_PORT, PATIENT, TOPIC, Writer, voters
from peerboot.lab.servers import Server
from peerboot.lab.sets import BASE, two_sets
from peerboot.lab.story import Story, Texts
from peerboot.outside.kafka import Address, Bounds, Kafka, KafkaError
from peerboot.outside.kafka.values import Metadata
from peerboot.systems.kafka.ids import member_id

T = TypeVar("T")

REPLICAS = 3
PARTITIONS = 6
"""Of the topic that is written to."""
RECORDS = 100
"""Records that are acknowledged after each thing that happens, before the next."""
LOST_CONTROLLER, LOST_BROKER, FOURTH = 0, 1, 3
COMMAND_SECONDS = 300.0
BOUNDS = Bounds(open=1, read=3, call=10)
MOVED = {index: (BASE + FOURTH, BASE + index % REPLICAS, BASE + (index + 1) % REPLICAS) for index in range(4)}
"""Where partitions are put in step 5: the node ids of each one's replicas, the preferred leader first."""

ALL = tuple(f"{name}-{ordinal}" for name in ("ctl", "brk") for ordinal in range(REPLICAS))
SCENES = (
    Scene(
        1,
        "form",
        "Three controllers and three brokers start at once; every disk is blank.",
        "the controllers form a quorum once each has heard every other; brokers wait for it",
        ("ctl-0", "brk-0"),
    ),
    Scene(
        2,
        "write",
        "A producer writes with acks=all, and goes on until the end, whatever happens.",
        "no acknowledged record may be missing in the end",
        ("brk-0",),
    ),
    Scene(
        3,
        "a controller's lost disk",
        "ctl-0 loses its node and its disk.",
        "the old voter is removed, the blank one follows the log, then it gets the vote",
        ("ctl-0",),
    ),
    Scene(
        4,
        "a broker's lost disk",
        "brk-1 loses its node and its disk.",
        "it starts only when others hold every record that it had, and is filled by them",
        ("brk-1",),
    ),
    Scene(
        5,
        "four brokers",
        "A fourth broker starts, and four of the six partitions that are written to move onto it.",
        "brk-3 registers by itself; moving is an ordinary reassignment",
        ("brk-3",),
    ),
    Scene(
        6,
        "three brokers again",
        "brk-3 is drained, its Pod is deleted, and the cluster forgets it.",
        "the replicas move away first, while the producer writes",
        ("brk-3",),
    ),
    Scene(
        7,
        "all restarted",
        "Everything is killed at once, and started again.",
        "each starts with its own data, whoever is there; no directory id changes",
        ALL,
    ),
)
TEXTS = Texts(
    head=f"One Kafka {{version}}, {REPLICAS} controllers and {REPLICAS} brokers, cluster {{cluster}}:",
    account="{writes} acknowledged records, 0 missing (a consumer read them back)",
    notes=(),
    trying=(
        "{program} lab up kafka --split --kafka {version}",
        "{program} lab wipe ctl-0 && {program} lab status",
        "{program} lab exec ctl-0 explain",
        "{program} lab exec brk-0 kafka drain brk-2",
        "{program} lab down",
    ),
)


class KafkaStory(Story):
    """Tells it once."""

    scenes = SCENES
    texts = TEXTS

    def __init__(self, controllers: Lab, brokers: Lab) -> None:
        self._controllers, self._brokers = controllers, brokers
        self._writer = Writer(brokers, PARTITIONS)
        super().__init__(self._writer, controllers, brokers)

    @classmethod
    def of(cls, root: Path, server: Server) -> Self:
        """With two sets of its own."""
        return cls(*two_sets(LabSpec(root=root, server=server, replicas=REPLICAS)))

    def parts(self) -> tuple[Callable[[], Awaitable[str]], ...]:
        """One for each scene."""
        return self._form, self._write, self._lost_controller, self._lost_broker, self._four, self._three, self._all

    # ---------------------------------------------------------------- scenes

    async def _form(self) -> str:
        await asyncio.gather(*(lab.start() for lab in self.labs))
        await self.ready(PATIENT)
        await self._voting()
        await self._alive(REPLICAS)
        return "six blank disks: one cluster, 3 voters, 3 brokers"

    async def _write(self) -> str:
        await self._writer.start()
        await self._writer.grows(RECORDS)
        return "a producer writes with acks=all, until the end"

    async def _lost_controller(self) -> str:
        lab, lost = self._controllers, LOST_CONTROLLER
        before = await self._directories(lab)
        await lab.wipe(lost)
        await self.ready(PATIENT)
        after = await self._directories(lab)
        await self._voting()
        self._changed(lab, before, after, lost)
        await self._writer.grows(RECORDS)
        return f"ctl-0 lost its disk, and votes again: {_short(before[lost])} > {_short(after[lost])}"

    async def _lost_broker(self) -> str:
        lab, lost = self._brokers, LOST_BROKER
        before = await self._directories(lab)
        await lab.wipe(lost)
        await self.ready(PATIENT)
        after = await self._directories(lab)
        self._changed(lab, before, after, lost)
        await self._in_sync()
        await self._writer.grows(RECORDS)
        return f"brk-1 lost its disk, and is filled again: {_short(before[lost])} > {_short(after[lost])}"

    async def _four(self) -> str:
        lab = self._brokers
        lab.pod_env[FOURTH] = {"PEERBOOT_REPLICAS": str(REPLICAS + 1)}
        # The census is one: the fourth Pod mounts the Secret that the others have.
        shutil.copy(lab.secret_file(0), lab.secret_file(FOURTH))
        await lab.create(FOURTH)
        await lab.until_ready(PATIENT, only=(FOURTH,))
        await self._alive(REPLICAS + 1)
        moves = {(TOPIC, index): nodes for index, nodes in MOVED.items()}
        refused = await self._answer(lambda kafka: kafka.alter_reassignments(moves))
        self.must(not refused, f"partitions may not move: {refused}")
        await self._in_sync(MOVED)
        await self._writer.grows(RECORDS)
        return "a fourth broker, with replicas of four partitions"

    async def _three(self) -> str:
        lab, name = self._brokers, self._brokers.pod_name(FOURTH)
        await self._command("drain", name, "--yes")
        topics = (await self._answer(lambda kafka: kafka.metadata(None))).topics
        held = [f"{t.name}-{part.index}" for t in topics for part in t.partitions if BASE + FOURTH in part.replicas]
        self.must(not held, f"{name} is drained and still holds {held}")
        await self._in_sync()
        await lab.delete(FOURTH, recreate=False)
        await self._alive(REPLICAS)
        await self._command("unregister", name, "--yes")
        known = await self._answer(lambda kafka: kafka.is_registered(BASE + FOURTH))
        self.must(not known, f"{name} is unregistered and the cluster still knows broker {BASE + FOURTH}")
        await self._writer.grows(RECORDS)
        return "the fourth drained, its Pod deleted, and forgotten"

    async def _all(self) -> str:
        await self.restarted("directory ids", PATIENT)
        await self._voting()
        await self._writer.grows(RECORDS)
        return "all killed, all started again: the same six directory ids"

    # ---------------------------------------------------------------- checks

    async def account(self, clusters: set[str]) -> str:
        """The last check: one cluster, and every acknowledged record is read back."""
        await self._writer.stop()
        cluster = self.one(clusters)
        missing = await self._writer.missing()
        self.must(not missing, f"{len(missing)} acknowledged records are missing, the first is {missing[:1]}")
        return cluster

    async def _directories(self, lab: Lab) -> dict[int, str]:
        return await self.members(lab, *lab.ordinals)

    def _changed(self, lab: Lab, before: dict[int, str], after: dict[int, str], lost: int) -> None:
        """The lost disk alone has another directory id."""
        others = {o for o in before if o != lost and before[o] != after[o]}
        self.must(before[lost] != after[lost], f"{lab.pod_name(lost)} lost its disk and is still {before[lost]}")
        self.must(not others, f"others changed too: {before} became {after}")

    async def _voting(self) -> None:
        """The quorum's voters are the controllers, each with the directory id of its own disk."""
        own = set((await self._directories(self._controllers)).values())
        found: set[str] = set()

        async def voting() -> bool:
            nonlocal found
            with contextlib.suppress(TimeoutError):
                found = {member_id(*voter) for voter in (await voters(self._controllers)).items()}
            return found == own

        await self._controllers.until(f"the voters are {sorted(own)}", voting, PATIENT)

    async def _until(self, what: str, ask: Callable[[Kafka], Awaitable[T]], so: Callable[[T], bool]) -> T:
        """Ask any broker until the answer is so; returns it. Brokers that do not answer are asked again."""
        last: list[T] = []

        async def true() -> bool:
            places = [Address(pod.spec.address, BROKER_PORT) for _, pod in sorted(self._brokers.pods.items())]
            with contextlib.suppress(KafkaError):
                async with Kafka(places, kind="broker", bounds=BOUNDS) as kafka:
                    last[:] = [await ask(kafka)]
                return so(last[0])
            return False

        await self._brokers.until(what, true, PATIENT)
        return last[0]

    async def _answer(self, ask: Callable[[Kafka], Awaitable[T]]) -> T:
        return await self._until("a broker answers", ask, lambda _answer: True)

    async def _alive(self, count: int) -> None:
        """As many brokers are alive, with the ids that belong to them."""
        ids = list(range(BASE, BASE + count))
        await self._until(
            f"{count} brokers are alive",
            lambda kafka: kafka.metadata([]),
            lambda told: sorted(broker.id for broker in told.brokers) == ids,
        )

    async def _in_sync(self, moved: Mapping[int, Sequence[int]] | None = None) -> None:
        """Each of the producer's partitions has three replicas in sync: on brokers that stay, or where it moved."""
        stay = set(range(BASE, BASE + REPLICAS))
        wanted = {index: set((moved or {}).get(index, stay)) for index in range(PARTITIONS)}

        def so(told: Metadata) -> bool:
            parts = [part for topic in told.topics for part in topic.partitions]
            placed = {part.index: set(part.replicas) for part in parts}
            return placed == wanted == {part.index: set(part.in_sync) for part in parts}

        what = f"the partitions of {TOPIC} are in sync on {wanted}"
        await self._until(what, lambda kafka: kafka.metadata([TOPIC]), so)

    async def _command(self, *args: str) -> None:
        """``peerboot kafka …`` in the first broker's container, as a person runs it; it must go well."""
        self.say(f"brk-0 $ peerboot kafka {' '.join(args)}")
        try:
            done = await self._brokers.pods[0].run("kafka", *args, timeout=COMMAND_SECONDS)
        except TimeoutError:
            self.fail(f"peerboot kafka {' '.join(args)} did not end within {COMMAND_SECONDS:g} s")
        for line in done.stdout.splitlines():
            self.say(line)
        self.must(done.returncode == 0, f"peerboot kafka {' '.join(args)} ended with {done.returncode}: {done.stderr}")


def _short(member: str) -> str:
    """Node and the beginning of the directory id."""
    return member[:10]
