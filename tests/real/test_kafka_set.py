"""Sets of real Kafkas, broker and controller in one: they form, restart, lose disks, and lose no record."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.kafka_client import PATIENT, voters
from peerboot.lab.servers import Server
from peerboot.systems.kafka import logdirs
from tests.real.kafka_scenes import (
    formed,
    kind,
    lose_two_disks,
    own,
    put_back,
    quorum,
    settled,
    without_line,
    writing,
)
from tests.real.scenes import MakeLab, decided, did, stays

OTHER = "AAAAAAAAQACAAAAAAAAAAQ"
"""Some other cluster's id."""


@pytest.mark.row(1, 3, 4)
async def test_a_set_forms_restarts_and_replaces_a_lost_disk(make_lab: MakeLab, every_kafka: Server) -> None:
    """Three form one cluster with a writer running: a server is killed, a Pod crashes, one loses its disk, all crash at
    once and come back with new addresses. Only the lost disk has another directory id, and no record is missing.
    """
    async with make_lab(every_kafka) as lab:
        before = await formed(lab)
        assert [did(lab, o, "recorded birth") for o in lab.ordinals] == [1, 1, 1]
        async with writing(lab) as writer:
            lab.kill(0)
            await lab.until("its container was restarted", lambda: _restarted(lab, 0))
            await lab.until_ready(PATIENT)
            await lab.crash(2)
            await lab.until_ready(PATIENT)
            assert await settled(lab) == before
            await writer.grows()
            await lab.wipe(1)
            await lab.until_ready(PATIENT)
            after = await settled(lab)
            assert [after[o] == before[o] for o in lab.ordinals] == [True, False, True]
            await writer.grows()
        await asyncio.gather(*(lab.crash(ordinal) for ordinal in lab.ordinals))
        await lab.until_ready(PATIENT)
        assert await settled(lab) == after
        assert await writer.missing() == []
        # A leader that was elected since has never seen the lost one, and takes it for one that never started.
        replaced = {"replace/replace-lost", "replace/replace-unstarted"} & set(decided(lab, 1))
        assert ({"join/join", "idle/promote-learner"} - set(decided(lab, 1)), len(replaced)) == (set(), 1)


async def _restarted(lab: Lab, ordinal: int) -> bool:
    return lab.pods[ordinal].server.starts >= 2 and not await lab.ready(ordinal)


@pytest.mark.row(5, 10, 12)
async def test_one_of_the_directories_is_lost(make_lab: MakeLab, kafka: Server) -> None:
    """Its metadata directory alone: it joins anew and its replicas stay. A log directory alone: it is formatted anew
    and filled by the others, and the voter is the one that it was. The metadata's log alone, without which it would
    vote for one that lacks what was committed: what is left goes aside, and it joins anew.
    """
    async with make_lab(kafka) as lab:
        before = await formed(lab)
        async with writing(lab) as writer:
            logs = own(lab, 0, "logs")
            await lab.crash(0, recreate=False)
            shutil.rmtree(lab.volume(0) / "metadata")
            assert kind(lab, 0) == "partial"
            await lab.create(0)
            await lab.until_ready(PATIENT)
            after = await settled(lab)
            assert [after[o] == before[o] for o in lab.ordinals] == [False, True, True]
            assert own(lab, 0, "logs") == logs
            await writer.grows()
            await lab.crash(2, recreate=False)
            logs = own(lab, 2, "logs")
            shutil.rmtree(lab.volume(2) / "logs")
            await lab.create(2)
            await lab.until_ready(PATIENT)
            assert await settled(lab) == after
            assert own(lab, 2, "logs")["directory.id"] != logs["directory.id"]
            await lab.crash(1, recreate=False)
            shutil.rmtree(lab.volume(1) / "metadata" / logdirs.QUORUM_LOG)
            await lab.create(1)
            await lab.until_ready(PATIENT)
            again = await settled(lab)
            assert [again[o] == after[o] for o in lab.ordinals] == [True, False, True]
            assert "replace/log-lost" in decided(lab, 1)
        assert await writer.missing() == []


@pytest.mark.row(9)
async def test_two_of_three_disks_are_lost(make_lab: MakeLab, kafka: Server) -> None:
    """Both blank Pods wait, by name, and neither is formatted: with ids that derive from nothing but names they would
    elect a leader without data. When the volumes are put back everything is there.
    """
    async with make_lab(kafka) as lab:
        before = await formed(lab)
        async with writing(lab) as writer:
            pass
        await lose_two_disks(lab, seconds=6)
        await put_back(lab, 1, 2)
        await lab.until_ready(PATIENT)
        assert await settled(lab) == before
        assert await writer.missing() == []


@pytest.mark.row(2)
async def test_a_late_pod_is_waited_for(make_lab: MakeLab, kafka: Server) -> None:
    """Two of three exist: nothing is formatted, and they say whom they wait for. The third comes: all form."""
    async with make_lab(kafka) as lab:
        await lab.start(only=(0, 1))
        await stays(lab, 0, "wait-for-all", seconds=5)
        assert ([kind(lab, o) for o in (0, 1)], lab.pods[0].server.starts) == (["blank", "blank"], 0)
        assert "db-2 (not in DNS)" in (await lab.decision(0))["reason"]
        await lab.create(2)
        await lab.until_ready(PATIENT)
        await settled(lab)


@pytest.mark.row(8, 13, 14)
async def test_other_volumes_are_found_before_a_server_starts(make_lab: MakeLab, kafka: Server) -> None:
    """Of another node: nothing starts, by name. Of another cluster: refused, on a volume that was this one's and on one
    that peerboot never saw, where Kafka's observer would never exit. Without its directory id: its metadata goes aside
    and it joins anew, where Kafka would silently make it an observer.
    """
    async with make_lab(kafka, env={"PEERBOOT_KAFKA_CORRUPT_RECHECK": "1s"}) as lab:
        before = await formed(lab)
        await lab.crash(2, recreate=False)
        volume = lab.volume(2)
        texts = {path: path.read_text() for path in volume.glob("*/meta.properties")}
        for path, text in texts.items():
            path.write_text(text.replace("node.id=2", "node.id=7"))
        await lab.create(2)
        told = await lab.until_rule(2, "disk-unknown")
        assert "is of node 7, this Pod is node 2" in told["reason"]
        await lab.crash(2, recreate=False)
        for path, text in texts.items():
            path.write_text(text.replace(own(lab, 0)["cluster.id"], OTHER))
        await lab.create(2)
        told = await lab.until_rule(2, "foreign-data")
        assert OTHER in told["reason"]
        await lab.crash(2, recreate=False)
        (volume / ".peerboot").rename(volume / ".kept")
        # Without a leader, as in the seconds after this Pod led, its data would just start.
        await quorum(lab)
        await lab.create(2)
        await stays(lab, 2, "foreign-cluster")
        assert lab.pods[2].server.starts == 0
        await lab.crash(2, recreate=False)
        shutil.rmtree(volume / ".peerboot")
        (volume / ".kept").rename(volume / ".peerboot")
        for path, text in texts.items():
            path.write_text(text)
        without_line(volume / "metadata" / "meta.properties", "directory.id=")
        await lab.create(2)
        await lab.until_ready(PATIENT)
        after = await settled(lab)
        assert [after[o] == before[o] for o in lab.ordinals] == [True, True, False]
        assert len(list(volume.glob("metadata.aside-*"))) == 1
        assert "Kafka Server started" in lab.log(2, "server")


@pytest.mark.row(6, 7, 11, 15)
async def test_a_set_grows_and_an_observer_made_by_hand_replaces_its_former_self(
    make_lab: MakeLab, kafka: Server
) -> None:
    """A fourth Pod joins as an observer and becomes a voter. By a person's word it is one no more while it is down;
    back with its data it starts as an observer, and is added again. One whose metadata directory somebody formatted by
    hand removes its former self, and is added.
    """
    async with make_lab(kafka) as lab:
        before = await formed(lab)
        lab.pod_env[3] = {"PEERBOOT_REPLICAS": "4"}
        shutil.copy(lab.secret_file(0), lab.secret_file(3))
        await lab.create(3)
        await lab.until_ready(PATIENT, only=(3,))
        grown = await voters(lab)
        assert grown == {**before, 3: own(lab, 3)["directory.id"]}
        await lab.until("db-0 has heard of it", lambda: _knows_of(lab, 0, voters=4), PATIENT)
        await lab.crash(3, recreate=False)
        assert (await lab.pods[0].run("remove", "db-3", "--yes")).returncode == 0
        await lab.until("its voter is removed", lambda: _are_voters(lab, before), PATIENT)
        await lab.create(3)
        await lab.until_ready(PATIENT, only=(3,))
        assert await voters(lab) == grown
        await lab.crash(1, recreate=False)
        meta = lab.volume(1) / "metadata" / "meta.properties"
        meta.write_text(meta.read_text().replace(before[1], OTHER))
        await lab.create(1)
        await lab.until_ready(PATIENT)
        assert await voters(lab) == {**grown, 1: OTHER}
        assert "idle/former-self" in decided(lab, 1)


async def _are_voters(lab: Lab, expected: dict[int, str]) -> bool:
    return await voters(lab) == expected


async def _knows_of(lab: Lab, ordinal: int, voters: int) -> bool:
    return f"one of {voters} voters" in (await lab.decision(ordinal))["reason"]
