"""Sets of real Kafkas with a static quorum: they form, restart, get lost disks back, and two blank ones never vote."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from peerboot.lab import jars
from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from peerboot.systems.kafka import properties, quorumstate
from tests.real.kafka_scenes import PATIENT, kind, own, quorum, writing
from tests.real.scenes import MakeLab, decided, did, stays

STATIC = {"PEERBOOT_KAFKA_QUORUM": "static"}
OLD = {"PEERBOOT_KAFKA_QUORUM": "static-3.8"}


def listed(lab: Lab, ordinal: int) -> tuple[str, bool]:
    """The voters in a Pod's server.properties as ids, and whether servers are named to ask for them instead."""
    found = properties.parse((lab.pods[ordinal].output / "server.properties").read_text())
    names = found.get("controller.quorum.voters", "")
    return ",".join(n.partition("@")[0] for n in names.split(",")), "controller.quorum.bootstrap.servers" in found


async def of_one_cluster(lab: Lab, *voters: int) -> str:
    """All Pods serve with that list of voters, which have no directory ids; the cluster's id."""
    await lab.until_ready(PATIENT)
    told = await quorum(lab)
    assert {v.id: v.directory for v in told.voters} == dict.fromkeys(voters, "")
    clusters = {own(lab, o)["cluster.id"] for o in lab.ordinals}
    assert len(clusters) == 1
    return clusters.pop()


async def test_a_static_set_forms_restarts_and_gets_a_lost_disk_back(make_lab: MakeLab, every_kafka: Server) -> None:
    """Three form one cluster with a list of voters in their files. With a writer running one crashes, one loses its
    disk, and all crash at once: the lost one takes its place under the same id, and no record is missing.
    """
    async with make_lab(every_kafka, env=STATIC) as lab:
        await lab.start()
        cluster = await of_one_cluster(lab, 0, 1, 2)
        assert [did(lab, o, "recorded birth") for o in lab.ordinals] == [1, 1, 1]
        assert [listed(lab, o) for o in lab.ordinals] == [("0,1,2", False)] * 3
        async with writing(lab) as writer:
            await lab.crash(2)
            await lab.until_ready(PATIENT)
            await writer.grows()
            before = own(lab, 1)["directory.id"]
            await lab.wipe(1)
            assert await of_one_cluster(lab, 0, 1, 2) == cluster
            assert {"join/refill", "join/claimed"} - set(decided(lab, 1)) == set()
            assert (own(lab, 1)["directory.id"] == before, did(lab, 1, "remove")) == (False, 0)
            await writer.grows()
        await asyncio.gather(*(lab.crash(ordinal) for ordinal in lab.ordinals))
        assert await of_one_cluster(lab, 0, 1, 2) == cluster
        assert [quorumstate.voters(lab.volume(o) / "metadata") for o in lab.ordinals] == [(0, 1, 2)] * 3
        assert await writer.missing() == []


@pytest.mark.parametrize("version", jars.OLDER)
async def test_releases_before_dynamic_quorums(make_lab: MakeLab, version: str) -> None:
    """3.7 and 3.8 form, restart and get a lost disk back the same way; they know no other quorum."""
    async with make_lab(jars.find(version, versions=jars.OLDER), env=OLD) as lab:
        await lab.start()
        cluster = await of_one_cluster(lab, 0, 1, 2)
        async with writing(lab) as writer:
            await lab.wipe(1)
            assert await of_one_cluster(lab, 0, 1, 2) == cluster
            await writer.grows()
        await asyncio.gather(*(lab.crash(ordinal) for ordinal in lab.ordinals))
        assert await of_one_cluster(lab, 0, 1, 2) == cluster
        assert await writer.missing() == []


async def test_two_of_three_static_disks_are_lost(make_lab: MakeLab, kafka: Server) -> None:
    """Kafka would let the two blank ones elect a leader without data. Both wait, by name, with the holder there and
    with it gone, and neither is formatted. One volume is put back: the other takes its place again, and no record is
    missing.
    """
    async with make_lab(kafka, env=STATIC) as lab:
        await lab.start()
        cluster = await of_one_cluster(lab, 0, 1, 2)
        async with writing(lab) as writer:
            pass
        for ordinal in (1, 2):
            await lab.crash(ordinal, recreate=False)
            lab.volume(ordinal).rename(lab.spec.root / f"kept-{ordinal}")
        await asyncio.gather(lab.create(1), lab.create(2))
        await stays(lab, 1, "cluster-exists", seconds=15)
        told = await lab.decision(2)
        assert ("kubectl get pv" in told["reason"], [kind(lab, o) for o in (1, 2)]) == (True, ["blank", "blank"])
        await lab.crash(0, recreate=False)
        await stays(lab, 2, "cluster-exists", "wait-for-all", seconds=15)
        assert ([kind(lab, o) for o in (1, 2)], lab.pods[2].server.starts) == (["blank", "blank"], 0)
        await lab.create(0)
        await lab.crash(1, recreate=False)
        shutil.rmtree(lab.volume(1))
        (lab.spec.root / "kept-1").rename(lab.volume(1))
        await lab.create(1)
        assert await of_one_cluster(lab, 0, 1, 2) == cluster
        assert "join/refill" in decided(lab, 2)
        assert await writer.missing() == []
