"""Volumes that are no longer, or never were, what the cluster knows, on real servers: removed members, stale copies,
volumes of another cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.real.scenes import (
    MakeLab,
    aside,
    consent_in,
    decided,
    did,
    formed,
    get,
    healthy,
    ids,
    members,
    own_id,
    put,
    stays,
    writing,
)
from tests.real.volumes import add, all_gone, content, give, peer_members, remove, same, saved


async def consented(lab: Lab, ordinal: int, reason: str) -> None:
    """A person allows what a refusal offers."""
    done = await lab.pods[ordinal].run("consent", consent_in(reason))
    assert done.returncode == 0, done.stderr


async def refuses(lab: Lab, ordinal: int, rule: str) -> str:
    """The Pod refuses and lets no server start, for a while; returns the reason."""
    had = content(lab.data_dir(ordinal))
    said = await lab.until_rule(ordinal, rule)
    await stays(lab, ordinal, rule, seconds=1.5)
    assert (said["kind"], said["may_run"]) == ("refuse", False)
    assert (content(lab.data_dir(ordinal)), lab.pods[ordinal].server.starts) == (had, 0)
    return str((await lab.decision(ordinal))["reason"])


@pytest.mark.row(18)
async def test_removed_while_down_and_while_running(make_lab: MakeLab, every_etcd: Server, short_root: Path) -> None:
    """A member that was removed while its Pod was down, and one that was removed while it ran, set their data aside and
    join as new members. Of the second only the server's container ends, killed once more on the way.
    """

    async def down() -> None:
        async with make_lab(every_etcd, root=short_root / "down") as lab:
            await formed(lab)
            before = await ids(lab)
            async with writing(lab):
                await lab.crash(1, recreate=False)
                await remove(lab, 0, before["db-1"])
                await lab.create(1)
                await lab.until_ready(120)
            await _joined_anew(lab, 1, before)

    async def running() -> None:
        async with make_lab(every_etcd, root=short_root / "running") as lab:
            await formed(lab)
            before, pod = await ids(lab), lab.pods[1]
            async with writing(lab):
                await remove(lab, 0, before["db-1"])
                await lab.until("its server ends", lambda: _ended(lab, 1))
                lab.kill(1)
                await lab.until("it joins as another", lambda: _another(lab, 1, before["db-1"]))
                await lab.until_ready(120)
            await _joined_anew(lab, 1, before)
            assert (lab.pods[1] is pod, pod.sidecar.starts) == (True, 1)

    async with asyncio.TaskGroup() as group:
        group.create_task(down())
        group.create_task(running())


async def _joined_anew(lab: Lab, ordinal: int, before: dict[str, str]) -> None:
    assert same(before, await healthy(lab)) == [f"db-{o}" for o in lab.ordinals if o != ordinal]
    assert ("replace/removed-member" in decided(lab, ordinal), len(aside(lab, ordinal))) == (True, 1)


async def _ended(lab: Lab, ordinal: int) -> bool:
    return bool(lab.pods[ordinal].server.exits)


async def _another(lab: Lab, ordinal: int, member: str) -> bool:
    return own_id(lab, ordinal)[1] not in ("", member)


@pytest.mark.row(20)
async def test_removed_and_added_again_by_hand(make_lab: MakeLab, etcd: Server) -> None:
    """A member is removed while its Pod is down, and a learner is added with its URL: its data goes aside, that entry,
    which was not made for this disk, is removed, and its Pod joins as a new member.
    """
    async with make_lab(etcd) as lab:
        await formed(lab)
        before = await ids(lab)
        urls = (await members(lab))[before["db-0"]]["peerURLs"]
        await lab.crash(0, recreate=False)
        await remove(lab, 1, before["db-0"])
        added = await add(lab, 1, urls, learner=True)
        await put(lab, 2, "key", "kept")
        await lab.create(0)
        now = await healthy(lab, 1)
        assert same(before, now) == ["db-1", "db-2"]
        assert (now["db-0"] == added, len(aside(lab, 0)), did(lab, 0, f"remove {added}")) == (False, 1, 1)
        assert await get(lab, 0, "key") == "kept"


@pytest.mark.row(21)
async def test_an_old_copy_of_a_volume_that_was_replaced(make_lab: MakeLab, etcd: Server) -> None:
    """A Pod's disk was lost and replaced. When the lost volume turns up again its member is gone and another has its
    place: the Pod refuses, and only a person's consent sets that data aside.
    """
    async with make_lab(etcd) as lab:
        await formed(lab)
        before = await ids(lab)
        await lab.crash(1, recreate=False)
        lost = saved(lab, 1)
        await lab.wipe(1)
        await healthy(lab)
        between = await ids(lab)
        await lab.crash(1, recreate=False)
        give(lab, 1, lost)
        await lab.create(1)
        reason = await refuses(lab, 1, "taken-over")
        assert (before["db-1"] in reason, between["db-1"] in reason) == (True, True)
        assert await ids(lab) == between

        await consented(lab, 1, reason)
        now = await healthy(lab)
        assert same(between, now) == ["db-0", "db-2"]
        assert now["db-1"] not in (before["db-1"], between["db-1"])
        assert len(aside(lab, 1)) == 1


@contextlib.asynccontextmanager
async def deleted_set(make_lab: MakeLab, etcd: Server, root: Path) -> AsyncIterator[Lab]:
    """The volumes of a set of the same names that served and was deleted."""
    async with make_lab(etcd, root=root) as lab:
        await formed(lab)
        await put(lab, 0, "key", "old")
        await all_gone(lab)
        yield lab


@pytest.mark.row(22)
async def test_a_stale_volume_of_a_deleted_set(make_lab: MakeLab, etcd: Server, short_root: Path) -> None:
    """A Pod gets the volume of a deleted set of the same names, or that set's data beside its own state: its server is
    not started, and the cluster goes on without it. A person's consent sets that data aside and lets the Pod join.
    """
    async with deleted_set(make_lab, etcd, short_root / "old") as old, make_lab(etcd, root=short_root / "new") as lab:
        await formed(lab)
        before, now = own_id(old, 1)[0], own_id(lab, 1)[0]
        await put(lab, 0, "key", "new")
        await asyncio.gather(lab.crash(1, recreate=False), lab.crash(2, recreate=False))
        shutil.rmtree(lab.data_dir(1))
        shutil.copytree(old.data_dir(1), lab.data_dir(1))
        await asyncio.gather(lab.create(1), lab.create(2))
        reason = await refuses(lab, 1, "foreign-data")
        assert (before in reason, now in reason) == (True, True)

        await lab.crash(1, recreate=False)
        give(lab, 1, old.volume(1))
        await lab.create(1)
        await lab.until_ready(60, only=(0, 2))
        reason = await refuses(lab, 1, "foreign-cluster")
        assert (before in reason, now in reason) == (True, True)
        assert await get(lab, 0, "key") == "new"

        await consented(lab, 1, reason)
        await healthy(lab)
        assert len(aside(lab, 1)) == 1
        assert await get(lab, 1, "key") == "new"


@pytest.mark.row(23)
async def test_servers_of_several_clusters(make_lab: MakeLab, etcd: Server, short_root: Path) -> None:
    """Two Pods run with the data of two clusters, none of which has quorum, and the third Pod has data of yet another:
    it refuses, for which one is right cannot be known. What has data is not touched.
    """
    async with contextlib.AsyncExitStack() as stack:
        olds = [await stack.enter_async_context(deleted_set(make_lab, etcd, short_root / f"old-{i}")) for i in (0, 1)]
        lab = await stack.enter_async_context(make_lab(etcd, root=short_root / "new"))
        await formed(lab)
        await all_gone(lab)
        clusters = [own_id(old, 0)[0] for old in olds]
        for ordinal, old in enumerate(olds):
            give(lab, ordinal, old.volume(ordinal))
            await lab.create(ordinal)
            await lab.until_rule(ordinal, "own-data")
        await lab.until("both servers run", lambda: _run(lab, 0, 1))
        await lab.create(2)
        reason = await refuses(lab, 2, "peers-disagree")
        assert [cluster in reason for cluster in clusters] == [True, True]
        assert [aside(lab, o) for o in lab.ordinals] == [[], [], []]
        assert [own_id(lab, o)[0] for o in (0, 1)] == clusters


async def _run(lab: Lab, *ordinals: int) -> bool:
    return [(await peer_members(lab, o))[0] for o in ordinals] == [200 for _ in ordinals]
