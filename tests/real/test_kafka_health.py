"""Readiness, stops in turn, numbers and warnings of sets of real Kafkas."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from pathlib import Path

import pytest

from peerboot import lab as lab_folder
from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from peerboot.outside.kafka import Address, Bounds, Kafka
from peerboot.outside.kafka.values import BROKER, DELETE, SET, TOPIC, ConfigChange
from tests.real.kafka_scenes import BROKER_PORT, CONTROLLER_PORT, PATIENT, formed, quorum, run_tool, settled, writing
from tests.real.scenes import MakeLab, decided

WIDE = "wide"
BASE = Path(lab_folder.__file__).parent / "kafka" / "base.properties"
"""What a lab's Pods have in their own file."""
PATIENT_LEAVE = {"PEERBOOT_LEAVE_TIMEOUT": "100s"}


@contextlib.asynccontextmanager
async def asking(lab: Lab, ordinal: int, kind: str = "broker") -> AsyncIterator[Kafka]:
    """A client of one Pod's broker or controller."""
    port = BROKER_PORT if kind == "broker" else CONTROLLER_PORT
    server = Address(lab.pods[ordinal].spec.address, port)
    async with Kafka([server], kind=kind, bounds=Bounds(open=2, read=5, call=20), follow=False) as kafka:  # type: ignore[arg-type]
        yield kafka


async def alter(lab: Lab, changes: Iterable[ConfigChange]) -> None:
    """Change settings, by the controllers' leader."""
    async with asking(lab, (await quorum(lab)).leader, "controller") as kafka:
        assert await kafka.alter_configs(tuple(changes)) == ()


async def make_topic(lab: Lab, name: str, least: int) -> None:
    """One partition, three copies."""
    await run_tool(
        lab, "kafka-topics.sh", "--create", "--topic", name, "--partitions", "1", "--replication-factor", "3",
        "--config", f"min.insync.replicas={least}",
    )  # fmt: skip


async def in_sync(lab: Lab, ordinal: int, topic: str) -> list[int]:
    """The brokers in sync, by one Pod's broker."""
    async with asking(lab, ordinal) as kafka:
        [found] = (await kafka.metadata([topic])).topics
    return sorted(found.partitions[0].in_sync)


async def metrics(lab: Lab, ordinal: int) -> Mapping[str, float]:
    """Samples without labels."""
    status, text = await lab.pods[ordinal].get("/metrics", 7072)
    assert status == 200
    return {name: float(value) for name, value in re.findall(r"^peerboot_(\w+) (\S+)$", text, re.MULTILINE)}


async def produce(lab: Lab, topic: str, records: int, size: int) -> None:
    """Records of so many bytes, acknowledged by the leader alone."""
    await run_tool(
        lab, "kafka-run-class.sh", "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records",
        str(records), "--record-size", str(size), "--throughput", "-1", "--producer-props", "acks=1",
        f"bootstrap.servers={lab.pods[0].spec.address}:{BROKER_PORT}",
    )  # fmt: skip


@pytest.mark.row(17)
async def test_of_two_pods_told_to_stop_the_second_waits_until_the_first_is_back(
    make_lab: MakeLab, kafka: Server
) -> None:
    """Two of three are deleted one right after the other, as by two drains: the first stops at once; the second says
    whom it waits for, and stops when that one is in the quorum and in sync again. Every record is there.
    """
    async with make_lab(kafka, env=PATIENT_LEAVE) as lab:
        before = await formed(lab)
        async with writing(lab) as writer:
            second = lab.pods[1]
            first = asyncio.create_task(lab.delete(2, grace=140))
            await lab.until("it was told that it may stop", lambda: _told(lab, 2, "/prestop: staying a member"))
            deleting = asyncio.create_task(lab.delete(1, grace=140))
            await first
            assert ("wait (stop-waits)" in second.sentence(), "db-2 is not there" in second.sentence()) == (True, True)
            await deleting
            await lab.until_ready(PATIENT)
            assert await settled(lab) == before
        assert await writer.missing() == []
        assert ("wait/stop-waits" in decided(lab, 1), "wait/stop-waits" in decided(lab, 2)) == (True, False)
        [stopped] = re.findall(
            r"^(\S+) .*/prestop: staying a member: .*; it was its turn after \d+ s, for", lab.log(1), re.MULTILINE
        )
        again = lab.log(2).rpartition("peerboot for kafka in lab")[2]
        back = re.findall(r"^(\S+) .*idle/serving: ", again, re.MULTILINE)[0]
        assert back < stopped


async def _told(lab: Lab, ordinal: int, words: str) -> bool:
    return words in lab.log(ordinal)


@pytest.mark.row(16)
async def test_a_broker_is_ready_when_no_partition_waits_for_it(make_lab: MakeLab, every_kafka: Server) -> None:
    """A partition needs three copies in sync, and one broker cannot catch up: it is not ready, says which that is, and
    its metrics count it. Another one that restarts meanwhile catches up and is ready, for it is not what the partition
    waits for. When the first one has caught up it is ready too.
    """
    async with make_lab(every_kafka, env={"PEERBOOT_LEAVE_TIMEOUT": "1s"}) as lab:
        await formed(lab)
        await make_topic(lab, WIDE, least=2)
        await alter(lab, _throttled(WIDE, 2))
        await lab.crash(2, recreate=False)
        await lab.until("it is out of sync", lambda: _in_sync_are(lab, 0, WIDE, [0, 1]), PATIENT)
        await produce(lab, WIDE, records=100, size=200_000)
        # Only now: with too few in sync the high watermark stays, and whoever has reached that is in sync (KIP-966).
        await alter(lab, [ConfigChange(kind=TOPIC, name=WIDE, key="min.insync.replicas", operation=SET, value="3")])
        await lab.create(2)
        await lab.until(
            "it says what it lacks", lambda: _says(lab, 2, f"{WIDE}-0 is under min.insync.replicas"), PATIENT
        )
        assert (await lab.ready(2), (await metrics(lab, 2))["kafka_under_min_isr_partitions"]) == (False, 1)
        await lab.delete(1)
        await lab.until_ready(PATIENT, only=(1,))
        assert (await in_sync(lab, 1, WIDE), await lab.ready(2)) == ([0, 1], False)
        await alter(lab, _throttled(WIDE, 2, on=False))
        await lab.until_ready(PATIENT)
        assert await in_sync(lab, 2, WIDE) == [0, 1, 2]


def _throttled(topic: str, broker: int, *, on: bool = True) -> Iterable[ConfigChange]:
    """One broker gets next to nothing of a topic's first partition from the others; or all again."""
    operation = SET if on else DELETE
    sides = {"leader": "0:0,0:1,0:2", "follower": f"0:{broker}"}
    for side, replicas in sides.items():
        key, value = f"{side}.replication.throttled.replicas", replicas if on else None
        yield ConfigChange(kind=TOPIC, name=topic, key=key, operation=operation, value=value)
    key, rate = "follower.replication.throttled.rate", "1" if on else None
    yield ConfigChange(kind=BROKER, name=str(broker), key=key, operation=operation, value=rate)


async def _in_sync_are(lab: Lab, ordinal: int, topic: str, expected: list[int]) -> bool:
    return await in_sync(lab, ordinal, topic) == expected


async def _says(lab: Lab, ordinal: int, words: str) -> bool:
    return words in str((await lab.decision(ordinal)).get("reason", ""))


async def test_numbers_and_warnings(make_lab: MakeLab, either_kafka: Server) -> None:
    """A set of two warns of its even number, 3.9 of itself; numbers of the quorum and of its brokers are told. Grown to
    three it keeps the default that a smaller cluster took from 4.0 on, and says with which command that is raised.
    """
    async with make_lab(either_kafka, replicas=2) as lab:
        await formed(lab)
        found = await metrics(lab, 0)
        names = {name for name in found if name.startswith("kafka_")}
        newer = either_kafka.version >= "4"
        assert names == NUMBERS - (set() if newer else {"kafka_fenced_brokers"})
        assert (found["kafka_leader_known"], found["kafka_under_min_isr_partitions"]) == (1, 0)
        status = (await lab.pods[0].run("status")).stdout
        assert "The quorum has 2 controllers" in status
        assert ("This is Kafka 3.9" in status) == (not newer)
        assert lab.log(0).count("The quorum has 2 controllers") == 1
        for ordinal in (0, 1, 2):
            lab.pod_env[ordinal] = {"PEERBOOT_REPLICAS": "3"}
        lab.secret_file(2).write_bytes(lab.secret_file(0).read_bytes())
        lab.secret_file(2).chmod(0o600)
        await lab.create(2)
        await lab.until_ready(PATIENT, only=(2,))
        if newer:
            await lab.until("it is warned of", lambda: _told(lab, 2, "keeps min.insync.replicas=1 as its own default"))
        told = (await lab.pods[2].run("status")).stdout
        assert "The quorum has" not in told
        assert ("keeps min.insync.replicas=1 as its own default" in told) == newer


async def test_no_copy_to_spare(make_lab: MakeLab, either_kafka: Server, tmp_path: Path) -> None:
    """Three of three copies in sync, as the user's own file has it: each Pod warns of it, and from 4.0 on also of
    what the cluster made of that. It is right: while one broker is away a record with acks=all is refused.
    """
    base = tmp_path / "base.properties"
    base.write_text(BASE.read_text() + "min.insync.replicas=3\n")
    async with make_lab(either_kafka, env={"PEERBOOT_BASE_CONFIG_FILE": str(base)}) as lab:
        await formed(lab)
        warning = "min.insync.replicas=3 leaves none of the 3 copies to spare"
        for ordinal in lab.ordinals:
            await lab.until("it is warned of", partial(_told, lab, ordinal, warning))
        told = (await lab.pods[0].run("status")).stdout
        assert ("--add-config min.insync.replicas=2" in told) == (either_kafka.version >= "4")
        await run_tool(
            lab, "kafka-topics.sh", "--create", "--topic", WIDE, "--partitions", "1", "--replication-factor", "3"
        )
        assert "NotEnoughReplicas" not in await _acknowledged(lab)
        await lab.crash(2, recreate=False)
        await lab.until("it is out of sync", lambda: _in_sync_are(lab, 0, WIDE, [0, 1]), PATIENT)
        assert "NotEnoughReplicas" in await _acknowledged(lab)


async def _acknowledged(lab: Lab) -> str:
    """What a producer says that wants one record acknowledged by all in sync."""
    return await run_tool(
        lab, "kafka-run-class.sh", "org.apache.kafka.tools.ProducerPerformance", "--topic", WIDE, "--num-records", "1",
        "--record-size", "10", "--throughput", "-1", "--producer-props", "acks=all", "retries=0",
        f"bootstrap.servers={lab.pods[0].spec.address}:{BROKER_PORT}",
    )  # fmt: skip


NUMBERS = {
    "kafka_leader_known", "kafka_observers", "kafka_voter_lag_max", "kafka_observer_lag_max", "kafka_lag",
    "kafka_under_min_isr_partitions", "kafka_replicas", "kafka_fenced_brokers",
}  # fmt: skip
