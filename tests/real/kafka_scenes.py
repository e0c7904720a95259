"""What scenarios with real Kafkas share: sets, what lies on Pods' disks, and a writer while a block runs."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from peerboot.lab import sets
from peerboot.lab.cluster import Lab
from peerboot.lab.kafka_client import BROKER_PORT, CONTROLLER_PORT, PATIENT, TOPIC, Writer, quorum, run_tool, voters
from peerboot.lab.servers import Server
from peerboot.systems.kafka import logdirs, properties
from tests.real.scenes import MakeLab, stays

__all__ = (
    "BROKER_PORT", "CONTROLLER_PORT", "PATIENT", "TOPIC", "Writer", "all_serve", "formed", "kind", "led_by_another",
    "lose_two_disks", "own", "put_back", "quorum", "run_tool", "settled", "two_sets", "voters", "without_line",
    "writing",
)  # fmt: skip
"""With what the lab's clients bring along: a scenario has it all from here."""


@asynccontextmanager
async def two_sets(
    make_lab: MakeLab,
    kafka: Server,
    more: Mapping[str, str] | None = None,
    controllers_more: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[Lab, Lab]]:
    """Three controllers, and three brokers with node ids from 100 on; nothing is started. ``more``: further settings
    of the brokers.
    """
    where = {"statefulset": sets.CONTROLLERS, "service": sets.CONTROLLER_SERVICE}
    env = {**sets.controllers_env(3), **(controllers_more or {})}
    async with make_lab(kafka, **where, env=env) as controllers:
        env = {**sets.brokers_env(), **(more or {})}
        where = {"statefulset": sets.BROKERS, "service": sets.BROKER_SERVICE}
        async with make_lab(kafka, **where, env=env, beside=controllers) as brokers:
            yield controllers, brokers


async def all_serve(brokers: Lab) -> None:
    """Wait until all brokers serve, and restart the server of each that says itself that it hangs (KAFKA-19354)."""
    restarted: Counter[int] = Counter()

    async def serve() -> bool:
        for ordinal in brokers.ordinals:
            if brokers.log(ordinal).count("finding=broker-unheard") > restarted[ordinal]:
                restarted[ordinal] += 1
                brokers.kill(ordinal)
        return all([await brokers.ready(ordinal) for ordinal in brokers.ordinals])

    await brokers.until("all brokers serve", serve, PATIENT)


async def formed(lab: Lab) -> dict[int, str]:
    """Create all Pods and wait until all serve: the voters, each with the directory id of its own disk."""
    await lab.start()
    await lab.until_ready(PATIENT)
    return await settled(lab)


async def settled(lab: Lab) -> dict[int, str]:
    """The voters, which are the expected Pods with the directory ids of their own disks, in one cluster."""
    found = await voters(lab)
    assert {o: own(lab, o)["directory.id"] for o in lab.ordinals} == found
    assert len({own(lab, o)["cluster.id"] for o in lab.ordinals}) == 1
    return found


def own(lab: Lab, ordinal: int, part: str = "metadata") -> dict[str, str]:
    """``meta.properties`` on a Pod's disk."""
    return properties.parse((lab.volume(ordinal) / part / "meta.properties").read_text())


def kind(lab: Lab, ordinal: int) -> str:
    """What a Pod's disk is."""
    volume = lab.volume(ordinal)
    return logdirs.read(volume / "metadata", (volume / "logs",), ordinal).kind


@asynccontextmanager
async def writing(lab: Lab, config: Path | None = None) -> AsyncIterator[Writer]:
    """A producer that writes to a topic of three copies, two in sync, while the block runs. ``config``: how it
    logs in.
    """
    writer = Writer(lab, config=config)
    try:
        await writer.start()
        await writer.grows()
        yield writer
        await writer.grows()
    finally:
        await writer.stop()


async def lose_two_disks(lab: Lab, seconds: float) -> None:
    """Two of three crash, and their volumes with them, which are kept. Both new Pods wait for so long, by name, and
    neither is formatted.
    """
    for ordinal in (1, 2):
        await lab.crash(ordinal, recreate=False)
        lab.volume(ordinal).rename(_kept(lab, ordinal))
    await asyncio.gather(lab.create(1), lab.create(2))
    await stays(lab, 1, "cluster-exists", seconds=seconds)
    told = await lab.decision(2)
    assert ("kubectl get pv" in told["reason"], [kind(lab, o) for o in (1, 2)]) == (True, ["blank", "blank"])


async def put_back(lab: Lab, *ordinals: int) -> None:
    """The Pods crash once more, and come back with the volumes that were kept."""
    for ordinal in ordinals:
        await lab.crash(ordinal, recreate=False)
        shutil.rmtree(lab.volume(ordinal))
        _kept(lab, ordinal).rename(lab.volume(ordinal))
    await asyncio.gather(*(lab.create(ordinal) for ordinal in ordinals))


def _kept(lab: Lab, ordinal: int) -> Path:
    return lab.spec.root / f"kept-{ordinal}"


def without_line(path: Path, start: str) -> None:
    """Take the lines that begin so out of a file."""
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith(start)))


async def led_by_another(lab: Lab, ordinal: int) -> None:
    """Where a Pod that lost its disk counts as the last in sync of the writer's topic, let another replica lead, as its
    sentence says: of brokers that die together the one that is fenced last stays in the ISR, blank or not.
    """
    waits = ("last-copy", "serving")
    await lab.until_rule(ordinal, *waits, "first-start", "first-permit", "own-data", seconds=PATIENT)

    async def settled_on() -> bool:
        told = await lab.decision(ordinal)
        return told.get("rule") == "serving" or f"{TOPIC}-0" in str(told.get("reason", ""))

    await lab.until("it serves, or names the partition", settled_on, PATIENT)
    if await lab.rule(ordinal) == "last-copy":
        await run_tool(
            lab, "kafka-run-class.sh", "org.apache.kafka.tools.LeaderElectionCommand", "--election-type", "unclean",
            "--topic", TOPIC, "--partition", "0",
        )  # fmt: skip
