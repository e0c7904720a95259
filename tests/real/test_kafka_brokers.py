"""Brokers as a set of their own, beside their controllers', on real Kafkas."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.kafka_client import BROKER_PORT, PATIENT, TOPIC, run_tool, voters
from peerboot.lab.servers import Server
from peerboot.lab.sets import BASE
from peerboot.outside.kafka import Address, Bounds, Kafka, KafkaError
from tests.real.kafka_scenes import all_serve, led_by_another, own, two_sets, writing
from tests.real.scenes import MakeLab, decided, stays

HALF_A_SESSION = 5.9
"""Seconds: the first is fenced after nine, and the second one's Pod is there again before that."""


@pytest.mark.row(18)
async def test_brokers_wait_for_their_controllers_and_lose_nothing(make_lab: MakeLab, every_kafka: Server) -> None:
    """Blank brokers that are there first form nothing and say whom they wait for. With the controllers all come up; a
    broker's and a controller's disk are lost, a metadata directory alone, all crash at once: no record is missing, and
    only the lost disks have other directory ids.
    """
    async with two_sets(make_lab, every_kafka) as (controllers, brokers):
        await brokers.start()
        await brokers.until("it says whom it asked", lambda: _says(brokers, 0, "DNS gave no address for controllers"))
        waits = await brokers.decision(0)
        assert (waits["rule"], waits["may_run"], waits["waits_for"]) == (
            "quorum-elsewhere",
            False,
            ["the quorum of controllers.lab"],
        )
        await controllers.start()
        await controllers.until_ready(PATIENT)
        await brokers.until_ready(PATIENT)
        votes, disks = await voters(controllers), _disks(brokers)
        assert (sorted(votes), len({own(lab, 0)["cluster.id"] for lab in (controllers, brokers)})) == ([0, 1, 2], 1)
        async with writing(brokers) as writer:
            await brokers.wipe(1)
            await brokers.until_ready(PATIENT)
            await writer.grows()
            await controllers.wipe(1)
            await controllers.until_ready(PATIENT)
            await brokers.crash(2, recreate=False)
            shutil.rmtree(brokers.volume(2) / "metadata")
            await brokers.create(2)
            await brokers.until_ready(PATIENT)
            await writer.grows()
        after = _disks(brokers)
        assert [disks[o] == after[o] for o in range(3)] == [True, False, False]
        assert [(await voters(controllers))[o] == votes[o] for o in range(3)] == [True, False, True]
        both = ((lab, ordinal) for lab in (brokers, controllers) for ordinal in lab.ordinals)
        await asyncio.gather(*(lab.crash(ordinal) for lab, ordinal in both))
        await controllers.until_ready(PATIENT)
        await all_serve(brokers)
        assert (after, await writer.missing()) == (_disks(brokers), [])
        assert {rule for rule in decided(brokers, 0) if rule.startswith(("form", "replace", "leave"))} == set()


def _disks(brokers: Lab) -> dict[int, str]:
    return {ordinal: own(brokers, ordinal)["directory.id"] for ordinal in brokers.ordinals}


@pytest.mark.row(18)
async def test_a_broker_with_its_data_needs_no_controller_to_start(make_lab: MakeLab, kafka: Server) -> None:
    """While no controller is there a broker that lost its disk waits, by name, and one with data is let start."""
    async with two_sets(make_lab, kafka) as (controllers, brokers):
        await controllers.start()
        await brokers.start()
        await brokers.until_ready(PATIENT)
        for ordinal in controllers.ordinals:
            await controllers.crash(ordinal, recreate=False)
        await brokers.crash(0)
        await brokers.wipe(1)
        starts = await brokers.until_rule(0, "own-data", seconds=PATIENT)
        waits = await brokers.until_rule(1, "quorum-elsewhere", seconds=PATIENT)
        assert (starts["may_run"], waits["may_run"], waits["disk"]["kind"]) == (True, False, "blank")
        for ordinal in controllers.ordinals:
            await controllers.create(ordinal)
        await controllers.until_ready(PATIENT)
        await all_serve(brokers)


@pytest.mark.row(18)
async def test_a_node_id_that_is_a_controllers(make_lab: MakeLab, kafka: Server) -> None:
    """Without a base of its own broker 0 would be node 0, which is a controller: refused, and nothing is formatted."""
    async with two_sets(make_lab, kafka, {"PEERBOOT_KAFKA_NODE_ID_BASE": "0"}) as (controllers, brokers):
        await controllers.start()
        await controllers.until_ready(PATIENT)
        await brokers.start()
        said = await brokers.until_rule(0, "unmanaged-cluster")
        assert "has a controller with node id 0, which would be this broker's too" in said["reason"]
        await stays(brokers, 0, "unmanaged-cluster")
        assert not (brokers.volume(0) / "metadata" / "meta.properties").exists()


@pytest.mark.row(10)
async def test_the_last_copy_in_sync_is_lost(make_lab: MakeLab, every_kafka: Server, tmp_path: Path) -> None:
    """While two of three brokers are down the third acknowledges records alone, and then loses its log directory, with
    its server running or not, or its whole disk. It is not started, by the partition's name, so the others drop
    nothing; with its volume back no record is missing.
    """
    async with two_sets(make_lab, every_kafka) as (controllers, brokers):
        await controllers.start()
        await brokers.start()
        await brokers.until_ready(PATIENT)
        await run_tool(
            brokers, "kafka-topics.sh", "--create", "--topic", TOPIC, "--partitions", "1", "--replication-factor", "3",
            "--config", "min.insync.replicas=1",
        )  # fmt: skip
        async with writing(brokers) as writer:
            for ordinal in (0, 1):
                await brokers.delete(ordinal, recreate=False)
            await brokers.until("only the third is in sync", lambda: _in_sync(brokers, 2, [BASE + 2]), PATIENT)
            await writer.grows()
        await brokers.crash(2, recreate=False)
        shutil.copytree(brokers.volume(2), tmp_path / "kept")
        await brokers.create(2)
        await brokers.until_ready(PATIENT, only=[2])
        # Lost under the running server: its permit was given for a whole disk, and formats nothing.
        shutil.rmtree(brokers.volume(2) / "logs")
        brokers.kill(2)
        await brokers.until_rule(2, "last-copy", seconds=PATIENT)
        await stays(brokers, 2, "last-copy")
        assert not (brokers.volume(2) / "logs" / "meta.properties").exists()
        await brokers.crash(2, recreate=False)
        for ordinal in (0, 1):
            await brokers.create(ordinal)
        for lost in ("logs", "."):
            shutil.rmtree(brokers.volume(2) / lost, ignore_errors=True)
            await brokers.create(2)
            said = await brokers.until_rule(2, "last-copy", seconds=PATIENT)
            await brokers.until("it names the partition", lambda: _says(brokers, 2, f"{TOPIC}-0"), PATIENT)
            await stays(brokers, 2, "last-copy")
            assert (said["may_run"], "peerboot consent" in said["reason"]) == (False, True)
            await brokers.crash(2, recreate=False)
        shutil.rmtree(brokers.volume(2))
        shutil.copytree(tmp_path / "kept", brokers.volume(2))
        await brokers.create(2)
        await brokers.until_ready(PATIENT)
        assert await writer.missing() == []


async def _in_sync(brokers: Lab, ordinal: int, expected: list[int]) -> bool:
    place = Address(brokers.pods[ordinal].spec.address, BROKER_PORT)
    async with Kafka([place], kind="broker", bounds=Bounds(open=1, read=2, call=6)) as kafka:
        try:
            [topic] = (await kafka.metadata([TOPIC])).topics
        except KafkaError:
            return False
    return [expected] == [sorted(one.in_sync) for one in topic.partitions]


async def _says(brokers: Lab, ordinal: int, words: str) -> bool:
    return words in str((await brokers.decision(ordinal)).get("reason", ""))


async def test_the_other_copy_died_a_moment_before(make_lab: MakeLab, kafka: Server) -> None:
    """Of two brokers in sync one crashes with its disk, and seconds later the other one loses its logs. The cluster has
    noticed neither, so both count as in sync. The second never leads empty: it starts when it is out of the ISR, which
    may take an election of the first by hand, as its sentence says.
    """
    async with two_sets(make_lab, kafka) as (controllers, brokers):
        await controllers.start()
        await brokers.start()
        await brokers.until_ready(PATIENT)
        await run_tool(
            brokers, "kafka-topics.sh", "--create", "--topic", TOPIC, "--replica-assignment", f"{BASE + 1}:{BASE + 2}",
            "--config", "min.insync.replicas=2",
        )  # fmt: skip
        async with writing(brokers) as writer:
            pass
        await brokers.crash(1, recreate=False)
        await asyncio.sleep(HALF_A_SESSION)
        await brokers.crash(2, recreate=False)
        shutil.rmtree(brokers.volume(2) / "logs")
        await brokers.create(2)
        await brokers.until_rule(2, "last-copy", seconds=PATIENT)
        await brokers.create(1)
        await brokers.until_ready(PATIENT, only=[1])
        await led_by_another(brokers, 2)
        await brokers.until_ready(PATIENT)
        assert await writer.missing() == []
