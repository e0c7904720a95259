"""Volumes that hold what they should not: removed members, other clusters, damage. Nothing is deleted."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from peerboot.systems.etcd import datadir
from tests.etcd import damage
from tests.real.scenes import (
    MakeLab,
    add,
    aside,
    consent_in,
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
    url_of,
    writing,
)

RECHECK = {"PEERBOOT_ETCD_CORRUPT_RECHECK": "1s"}


@pytest.mark.row(18)
async def test_removed_while_down_and_while_running(every_etcd: Server, make_lab: MakeLab) -> None:
    """A member that was removed, first while its Pod was down, then while it ran and its server container alone goes
    on: its data goes aside, it joins as a new member, and in between its server serves nothing.
    """
    async with make_lab(every_etcd) as lab, writing(await formed(lab)):
        before = await healthy(lab)
        await lab.crash(2, recreate=False)
        await remove(lab, 0, before["db-2"])
        await lab.create(2)
        middle = await healthy(lab)
        assert middle["db-2"] != before["db-2"]
        assert (len(aside(lab, 2)), "replace/removed-member" in decided(lab, 2)) == (1, True)
        await remove(lab, 0, middle["db-2"])
        await lab.until("its data is aside", lambda: _aside(lab, 2, 2))
        after = await healthy(lab)
        assert after.pop("db-2") not in (before["db-2"], middle["db-2"])
        assert after == {name: id_ for name, id_ in before.items() if name != "db-2"}


async def _aside(lab: Lab, ordinal: int, count: int) -> bool:
    return len(aside(lab, ordinal)) == count


@pytest.mark.row(20)
async def test_removed_and_added_again_by_somebody(etcd: Server, make_lab: MakeLab) -> None:
    """Somebody removed the member and added this Pod's URL again: its old data goes aside, and since nobody knows for
    which disk that entry was added, it is replaced by one that was added for this disk.
    """
    async with make_lab(etcd) as lab:
        before = await healthy(await formed(lab))
        await lab.crash(2, recreate=False)
        await remove(lab, 0, before["db-2"])
        added = await add(lab, 0, url_of(lab, 2), learner=True)
        await lab.create(2)
        assert (await healthy(lab))["db-2"] not in (before["db-2"], added)
        assert (len(aside(lab, 2)), did(lab, 2, f"remove {added}")) == (1, 1)


@pytest.mark.row(21)
async def test_an_old_volume_of_a_pod_that_has_a_new_one(etcd: Server, make_lab: MakeLab, short_root: Path) -> None:
    """The Pod joined with a new disk, then its old volume comes back: another process may run as it, so it refuses;
    a person may let it join as a new member.
    """
    async with make_lab(etcd) as lab:
        before = await healthy(await formed(lab))
        await lab.crash(2, recreate=False)
        _copy(lab.volume(2), short_root / "old")
        await lab.wipe(2)
        middle = await healthy(lab)
        await lab.crash(2, recreate=False)
        _copy(short_root / "old", lab.volume(2))
        await lab.create(2)
        refused = await lab.until_rule(2, "taken-over")
        await stays(lab, 2, "taken-over")
        assert lab.pods[2].server.starts == 0
        assert (own_id(lab, 2)[1], await ids(lab)) == (before["db-2"], middle)
        allowed = await lab.pods[2].run("consent", consent_in(refused["reason"]))
        assert allowed.returncode == 0, allowed.stderr
        after = await healthy(lab)
        assert after["db-2"] not in (before["db-2"], middle["db-2"])
        assert len(aside(lab, 2)) == 1


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


@pytest.mark.row(22, 23)
async def test_volumes_of_another_cluster(etcd: Server, make_lab: MakeLab) -> None:
    """Volumes of a deleted set of the same names. One beside a cluster that serves is refused, and a person may let it
    join. Two of different clusters without a quorum: a third, blank Pod refuses, and forms nothing.
    """
    async with make_lab(etcd) as other, make_lab(etcd) as lab:
        await asyncio.gather(formed(other), formed(lab))
        await put(lab, 0, "key", "value")
        foreign, home = own_id(other, 1)[0], own_id(lab, 0)[0]
        await asyncio.gather(*(other.crash(o, recreate=False) for o in other.ordinals), lab.crash(2, recreate=False))
        _copy(other.volume(2), lab.volume(2))
        await lab.create(2)
        refused = await lab.until_rule(2, "foreign-cluster")
        await stays(lab, 2, "foreign-cluster")
        assert lab.pods[2].server.starts == 0
        assert foreign in refused["reason"]
        await lab.until_ready(30, only=(0, 1))
        allowed = await lab.pods[2].run("consent", consent_in(refused["reason"]))
        assert allowed.returncode == 0, allowed.stderr
        await healthy(lab)
        assert (own_id(lab, 2)[0], await get(lab, 2, "key"), len(aside(lab, 2))) == (home, "value", 1)

        await asyncio.gather(*(lab.crash(o, recreate=False) for o in lab.ordinals))
        _copy(other.volume(1), lab.volume(1))
        await lab.wipe(2, recreate=False)
        await lab.start()
        await lab.until_rule(2, "peers-disagree")
        await stays(lab, 2, "peers-disagree")
        assert lab.pods[2].server.starts == 0
        assert (datadir.read(lab.data_dir(0)).cluster, datadir.read(lab.data_dir(1)).cluster) == (home, foreign)


async def test_a_volume_of_another_pod(etcd: Server, make_lab: MakeLab) -> None:
    """A volume that was cloned from another ordinal is refused by the name that it bears."""
    async with make_lab(etcd) as lab:
        await healthy(await formed(lab))
        await asyncio.gather(lab.crash(2, recreate=False), lab.crash(1, recreate=False))
        _copy(lab.volume(1), lab.volume(2))
        await lab.create(1)
        await lab.create(2)
        refused = await lab.until_rule(2, "foreign-volume")
        assert "lab/db-1" in refused["reason"]
        await lab.until_ready(60, only=(0, 1))
        await stays(lab, 2, "foreign-volume")
        assert lab.pods[2].server.starts == 0


@pytest.mark.row(24, 25)
async def test_a_damaged_log(every_etcd: Server, make_lab: MakeLab) -> None:
    """Without quorum the damaged data may be the best copy that is left: nothing is touched. When the others have
    quorum it goes aside, kept, and the Pod joins as a new member.
    """
    async with make_lab(every_etcd, env=RECHECK) as lab:
        before = await healthy(await formed(lab))
        await put(lab, 0, "key", "value")
        await asyncio.gather(*(lab.crash(o, recreate=False) for o in lab.ordinals))
        damage.middle_garbage(lab.data_dir(0))
        await lab.create(0)
        await stays(lab, 0, "corrupt-kept")
        assert (lab.pods[0].server.starts, aside(lab, 0)) == (0, [])
        await asyncio.gather(lab.create(1), lab.create(2))
        after = await healthy(lab, 1)
        assert after.pop("db-0") != before.pop("db-0")
        assert (after, await get(lab, 0, "key"), len(aside(lab, 0))) == (before, "value", 1)
        assert damage.last_segment(lab.data_dir(0) / aside(lab, 0)[0] / "..").exists()


@pytest.mark.row(24)
async def test_data_goes_under_a_running_server(etcd: Server, make_lab: MakeLab) -> None:
    """The log is deleted, then all data, under a server that is killed alone right then: the config that lies there
    starts nothing without data; the Pod is replaced like one with a lost disk. No write is lost.
    """
    async with make_lab(etcd, env=RECHECK) as lab, writing(await formed(lab)):
        before = await healthy(lab)
        damage.log_deleted(lab.data_dir(1))
        lab.kill(1)
        await lab.until("its data is aside", lambda: _aside(lab, 1, 1))
        middle = await healthy(lab)
        assert middle.pop("db-1") != before.pop("db-1")
        assert middle == before
        shutil.rmtree(lab.data_dir(2) / "member")
        lab.kill(2)
        after = await _without(lab, before["db-2"])
        assert after["db-0"] == before["db-0"]


async def _without(lab: Lab, gone: str) -> dict[str, str]:
    async def replaced() -> bool:
        return gone not in (await ids(lab)).values()

    await lab.until(f"{gone} is replaced", replaced)
    return await healthy(lab)
