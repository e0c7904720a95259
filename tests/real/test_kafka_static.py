"""Sets of real Kafkas with a static quorum: they form, restart, get lost disks back, and two blank ones never vote."""

from __future__ import annotations

import asyncio
import sys

import pytest

from peerboot.lab import jars
from peerboot.lab.cluster import Lab
from peerboot.lab.kafka_client import PATIENT, quorum
from peerboot.lab.servers import Server
from peerboot.systems.kafka import properties, quorumstate
from tests.real.kafka_scenes import kind, led_by_another, lose_two_disks, own, put_back, settled, writing
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


@pytest.mark.row(19)
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
@pytest.mark.row(19)
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


@pytest.mark.row(19)
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
        # Blank for ten seconds it would be formatted, if a majority held everything.
        await lose_two_disks(lab, seconds=15)
        await lab.crash(0, recreate=False)
        await stays(lab, 2, "cluster-exists", "wait-for-all", seconds=15)
        assert ([kind(lab, o) for o in (1, 2)], lab.pods[2].server.starts) == (["blank", "blank"], 0)
        await lab.create(0)
        await put_back(lab, 1)
        await lab.until_ready(PATIENT, only=[0, 1])
        await led_by_another(lab, 2)
        assert await of_one_cluster(lab, 0, 1, 2) == cluster
        assert "join/refill" in decided(lab, 2)
        assert await writer.missing() == []


async def migrate(lab: Lab, ordinal: int, *words: str) -> tuple[int, str]:
    """``peerboot kafka migrate`` in a Pod: its exit code, and what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "peerboot", "kafka", "migrate", *words, env=lab.pods[ordinal].env,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(PATIENT):
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def has_no_list(lab: Lab) -> bool:
    """No Pod's server.properties has a list of voters any more."""
    return all(listed(lab, o) == ("", True) for o in lab.ordinals)


@pytest.mark.parametrize("version", ["4.1.2", "4.3.1"])
@pytest.mark.row(19)
async def test_a_static_quorum_becomes_a_dynamic_one(make_lab: MakeLab, version: str) -> None:
    """The plan is shown and nothing changes; then its voters have the ids of their disks, at once. With the old setting
    still in place the lists go from the files, a lost disk joins as a new voter while no server was restarted, and all
    restart; then with the new one. No record is missing.
    """
    async with make_lab(jars.find(version), env=STATIC) as lab:
        await lab.start()
        cluster = await of_one_cluster(lab, 0, 1, 2)
        async with writing(lab) as writer:
            code, said = await migrate(lab, 1)
            assert (code, "`peerboot kafka migrate --yes` does it" in said) == (0, True), said
            assert await of_one_cluster(lab, 0, 1, 2) == cluster
            code, said = await migrate(lab, 1, "--yes")
            assert (code, "The quorum is a dynamic one now" in said) == (0, True), said
            before = await settled(lab)
            await lab.until("the lists are gone", lambda: has_no_list(lab), PATIENT)
            await lab.wipe(2)
            await lab.until_ready(PATIENT)
            after = await settled(lab)
            assert [after[o] == before[o] for o in lab.ordinals] == [True, True, False]
            assert "join/refill" not in decided(lab, 2)
            await writer.grows()
        await asyncio.gather(*(lab.crash(ordinal) for ordinal in lab.ordinals))
        await lab.until_ready(PATIENT)
        assert (await settled(lab), await has_no_list(lab)) == (after, True)
        assert "PEERBOOT_KAFKA_QUORUM=dynamic" in (await lab.decision(0))["reason"]
        for ordinal in lab.ordinals:
            lab.pod_env[ordinal] = {"PEERBOOT_KAFKA_QUORUM": "dynamic"}
            await lab.crash(ordinal)
            await lab.until_ready(PATIENT)
        assert await settled(lab) == after
        code, said = await migrate(lab, 0, "--yes")
        assert (code, "already: nothing is changed" in said) == (0, True), said
        assert await writer.missing() == []


@pytest.mark.row(19)
async def test_a_quorum_of_3_9_stays_static(make_lab: MakeLab) -> None:
    """3.9.2 would say that it is done, without directory ids of the voters: it is not asked. Who is away is named."""
    async with make_lab(jars.find("3.9.2"), env=STATIC) as lab:
        await lab.start()
        await of_one_cluster(lab, 0, 1, 2)
        await lab.crash(2, recreate=False)
        old = "runs a Kafka older than 4.1, which cannot do it, whatever it answers"
        why = f"db-0 {old}; db-1 {old}; db-2 does not answer"
        said = f"peerboot: the quorum stays static: {why}: mend that, then try again\n"
        await lab.until("two of three lead", lambda: _refused(lab, said))
        assert (await quorum(lab)).dynamic is False


async def _refused(lab: Lab, said: str) -> bool:
    """Refused by name; while a leader is elected for another reason, which is never a yes."""
    code, told = await migrate(lab, 0, "--yes")
    assert code == 5
    return told == said
