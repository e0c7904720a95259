"""A disk is lost: its Pod joins as a new member, while quorum stands; what lives is never formed anew."""

from __future__ import annotations

import asyncio

import pytest

from peerboot.lab.dns import Mode
from peerboot.lab.servers import Server
from peerboot.systems.etcd import datadir
from tests.real.scenes import (
    MakeLab,
    add,
    client,
    decided,
    did,
    formed,
    get,
    healthy,
    ids,
    own_id,
    put,
    remove,
    stays,
    until_says,
    url_of,
    writing,
)


@pytest.mark.row(7, 11)
async def test_every_ordinal_in_turn(every_etcd: Server, make_lab: MakeLab) -> None:
    """Whichever disk is lost, its old member is removed and a new one joins; no acknowledged write is missing."""
    async with make_lab(every_etcd) as lab, writing(await formed(lab)):
        before = await healthy(lab)
        for ordinal in (0, 2):
            cluster = own_id(lab, ordinal)[0]
            await lab.wipe(ordinal)
            after = await healthy(lab, 1)
            name = lab.pod_name(ordinal)
            assert own_id(lab, ordinal) == (cluster, after[name])
            assert after.pop(name) != before.pop(name)
            assert after == before
            before = await ids(lab, 1)


@pytest.mark.row(3, 6, 11)
async def test_the_seed_lost_its_disk_and_sees_nobody(etcd: Server, make_lab: MakeLab) -> None:
    """Ordinal 0 has no part of its own: blank and alone it forms nothing and says whom it misses. When a minority is
    back it waits for quorum; when quorum is back it joins as a new member.
    """
    async with make_lab(etcd) as lab:
        before = await healthy(await formed(lab))
        await put(lab, 0, "key", "value")
        lab.dns.fault(Mode.SERVFAIL, "db-0")
        await lab.wipe(0)
        await until_says(lab, 0, "DNS gives no answer")
        await stays(lab, 0, "wait-for-all")
        await asyncio.gather(lab.crash(1, recreate=False), lab.crash(2, recreate=False))
        lab.dns.fault(Mode.OK, "db-0")
        await until_says(lab, 0, "Not heard: db-1 (not in DNS), db-2 (not in DNS)")
        await stays(lab, 0, "wait-for-all")
        await lab.create(1)
        await lab.until_rule(0, "cluster-exists")
        await lab.until_rule(1, "own-data")
        await stays(lab, 0, "cluster-exists")
        assert lab.pods[0].server.starts == 0
        await lab.create(2)
        after = await healthy(lab, 1)
        assert after.pop("db-0") != before.pop("db-0")
        assert after == before
        assert await get(lab, 0, "key") == "value"


@pytest.mark.row(6)
async def test_two_of_three_lost(etcd: Server, make_lab: MakeLab) -> None:
    """Two of three disks lost is the quorum lost for good: no tool can know that the third has every acknowledged
    write. Nothing forms, nothing is changed, the third starts with its data and can be read; each Pod says so.
    """
    async with make_lab(etcd) as lab:
        await healthy(await formed(lab))
        await put(lab, 0, "key", "value")
        await asyncio.gather(lab.crash(2, recreate=False), lab.wipe(0), lab.wipe(1))
        await until_says(lab, 0, "Not heard: db-2")
        await stays(lab, 1, "wait-for-all")
        third = await lab.create(2)
        await lab.until_rule(0, "cluster-exists")
        await lab.until_rule(1, "cluster-exists")
        await until_says(lab, 2, "have no quorum now; peerboot changes no membership")
        await asyncio.gather(*(stays(lab, o, "cluster-exists") for o in (0, 1)), stays(lab, 2, "own-data"))
        assert [lab.pods[o].server.starts for o in (0, 1)] == [0, 0]
        assert third.server.starts == 1
        async with client(lab, 2) as asked:
            assert await asked.get("key", serializable=True) == "value"


async def test_two_of_five_lost_while_a_third_is_down(etcd: Server, make_lab: MakeLab) -> None:
    """Nothing forms and nothing joins without quorum; the third returns, and both rejoin, one after the other."""
    async with make_lab(etcd, replicas=5, start=3) as lab:
        before = await healthy(await formed(lab), 5, voters=5)
        await put(lab, 5, "key", "value")
        await lab.crash(5, recreate=False)
        await asyncio.gather(lab.wipe(3), lab.wipe(4))
        await lab.until_rule(3, "cluster-exists")
        await stays(lab, 4, "cluster-exists")
        await lab.create(5)
        after = await healthy(lab, 7, voters=5)
        assert {name for name in before if before[name] != after[name]} == {"db-3", "db-4"}
        assert await get(lab, 3, "key") == "value"


@pytest.mark.row(8, 9)
async def test_entries_that_were_not_added_for_this_disk(every_etcd: Server, make_lab: MakeLab) -> None:
    """An unstarted learner, then an unstarted voter is listed for a blank disk, and nobody knows whether it ran:
    it is removed, and this disk is added anew.
    """
    async with make_lab(every_etcd) as lab:
        await formed(lab)
        for learner in (True, False):
            old = (await healthy(lab))["db-2"]
            await lab.wipe(2, recreate=False)
            await remove(lab, 0, old)
            added = await add(lab, 0, url_of(lab, 2), learner=learner)
            await lab.create(2)
            assert added not in (await healthy(lab)).values()
            assert did(lab, 2, f"remove {added}") == 1
        assert decided(lab, 2).count("replace/replace-unstarted") == 2


@pytest.mark.row(10)
async def test_an_unstarted_voter_of_two(etcd: Server, make_lab: MakeLab) -> None:
    """One of two runs and waits for a voter that was added for another disk: this blank disk refuses to be it."""
    async with make_lab(etcd, replicas=2) as lab:
        lab.pod_env[0] = {"PEERBOOT_REPLICAS": "1"}
        await lab.start(only=(0,))
        await lab.until_ready(60, only=(0,))
        await add(lab, 0, url_of(lab, 1), learner=False)
        await lab.create(1)
        await lab.until_rule(1, "unstarted-pair")
        await stays(lab, 1, "unstarted-pair")
        assert lab.pods[1].server.starts == 0
        assert datadir.read(lab.data_dir(1)).kind == "blank"


async def test_a_learner_that_stalls_is_reaped(etcd: Server, make_lab: MakeLab) -> None:
    """A learner that makes no progress blocks all who want to join: it is removed, and the one that waits joins."""
    async with make_lab(etcd, env={"PEERBOOT_ETCD_LEARNER_STALL": "4s"}) as lab:
        await healthy(await formed(lab))
        added = await add(lab, 0, "http://gone.peers.lab.svc.cluster.local:2380", learner=True)
        await lab.wipe(2)
        await lab.until_rule(2, "join-waits")
        listed = await healthy(lab)
        assert added not in listed.values()
        assert did(lab, 0, f"remove {added}") == 1
