"""Lost, blank and half-begun disks on real servers: each joins what lives as a new member, and no write is lost."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.real.scenes import (
    MakeLab,
    aside,
    client,
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
from tests.real.volumes import add, all_gone, cut_first_start, cutting, has_nothing, remove, same, token, until_says


@pytest.mark.row(11)
async def test_a_lost_disk_of_any_ordinal(make_lab: MakeLab, every_etcd: Server, short_root: Path) -> None:
    """Whichever disk is lost, also that of ordinal 0, its Pod becomes a new member of the same cluster. The others stay
    who they are, and no write that was acknowledged is lost.
    """

    async def lost(ordinal: int) -> None:
        async with make_lab(every_etcd, root=short_root / f"lost-{ordinal}") as lab:
            await formed(lab)
            before, cluster = await ids(lab), own_id(lab, ordinal)[0]
            async with writing(lab):
                await lab.wipe(ordinal)
                await lab.until_ready(120)
            now = await healthy(lab)
            assert same(before, now) == [f"db-{o}" for o in lab.ordinals if o != ordinal]
            assert own_id(lab, ordinal) == (cluster, now[f"db-{ordinal}"])
            assert did(lab, ordinal, f"remove {before[f'db-{ordinal}']}") == 1

    async with asyncio.TaskGroup() as group:
        for ordinal in range(3):
            group.create_task(lost(ordinal))


@pytest.mark.row(7, 8, 9)
async def test_what_was_listed_by_hand(make_lab: MakeLab, etcd: Server, short_root: Path) -> None:
    """A blank disk joins whether its Pod is not listed, or listed as a learner or as a voter that never started: with
    an id that was added for this very disk. An entry of which it is not known that its server never ran is removed.
    """

    async def joins(listed: str) -> None:
        async with make_lab(etcd, root=short_root / listed) as lab:
            await formed(lab)
            before = await ids(lab)
            urls = (await members(lab))[before["db-1"]]["peerURLs"]
            await lab.crash(1, recreate=False)
            shutil.rmtree(lab.volume(1))
            await remove(lab, 0, before["db-1"])
            added = [] if listed == "not" else [await add(lab, 0, urls, learner=listed == "learner")]
            await put(lab, 2, "key", listed)
            await lab.create(1)
            now = await healthy(lab)
            assert same(before, now) == ["db-0", "db-2"]
            assert now["db-1"] not in added
            assert [did(lab, 1, f"remove {id_}") for id_ in added] == [1 for _ in added]
            assert (did(lab, 1, "add-learner"), await get(lab, 1, "key")) == (1, listed)
            assert ("replace/replace-unstarted" in decided(lab, 1)) == bool(added)

    async with asyncio.TaskGroup() as group:
        for listed in ("not", "learner", "voter"):
            group.create_task(joins(listed))


@pytest.mark.row(7, 11)
async def test_two_of_five_lost_at_once(make_lab: MakeLab, every_etcd: Server) -> None:
    """Two of five disks are lost together while somebody writes: their Pods join one after the other, and the cluster
    never has two learners.
    """
    async with make_lab(every_etcd, replicas=5) as lab:
        await formed(lab)
        before = await ids(lab)
        async with writing(lab):
            await asyncio.gather(lab.wipe(1), lab.wipe(3))
            await lab.until_ready(120)
        assert same(before, await healthy(lab, voters=5)) == ["db-0", "db-2", "db-4"]
        assert [did(lab, o, "add-learner") for o in (1, 3)] == [1, 1]
        assert "wait/join-waits" in decided(lab, 1) + decided(lab, 3)


@pytest.mark.row(10)
async def test_a_voter_that_was_not_added_for_this_disk(make_lab: MakeLab, etcd: Server) -> None:
    """Of two members one runs, and the other is a voter that never started and was not added for this blank disk.
    Without quorum nothing can be repaired: the Pod refuses, and the running member's data stays.
    """
    async with make_lab(etcd, replicas=2) as lab:
        await formed(lab)
        before = await ids(lab)
        urls = (await members(lab))[before["db-1"]]["peerURLs"]
        await put(lab, 0, "key", "kept")
        await remove(lab, 0, before["db-1"])
        await lab.crash(1, recreate=False)
        shutil.rmtree(lab.volume(1))
        await add(lab, 0, urls, learner=False)
        await lab.create(1)
        said = await lab.until_rule(1, "unstarted-pair")
        assert (said["kind"], said["may_run"]) == ("refuse", False)
        await lab.until_rule(0, "quorum-lost")
        await asyncio.gather(stays(lab, 1, "unstarted-pair"), stays(lab, 0, "quorum-lost"))
        assert has_nothing(lab, 1)
        async with client(lab, 0) as asked:
            assert await asked.get("key", serializable=True) == "kept"
        assert (aside(lab, 0), lab.pods[1].server.starts) == ([], 0)


@pytest.mark.row(12)
async def test_a_pod_that_is_not_expected(make_lab: MakeLab, etcd: Server) -> None:
    """A blank Pod with an ordinal outside of the expected ones does not join, and nobody takes notice of it."""
    async with make_lab(etcd) as lab:
        await formed(lab)
        before = await ids(lab)
        shutil.copy(lab.secret_file(0), lab.secret_file(3))
        await lab.create(3)
        said = await lab.until_rule(3, "out-of-range")
        assert (said["kind"], "db-3 is not one of the 3 expected pods" in said["reason"]) == ("refuse", True)
        await stays(lab, 3, "out-of-range")
        assert (has_nothing(lab, 3), lab.pods[3].server.starts) == (True, 0)
        assert await healthy(lab) == before


@pytest.mark.row(13)
async def test_every_first_start_is_cut_off(make_lab: MakeLab, every_etcd: Server, short_root: Path) -> None:
    """Every server is killed on its first start when it has made its log and written nothing, and only its own
    container is restarted. The disks are taken as new ones, what was begun is kept aside, and another birth forms. A
    Pod that was later than the others may have its first start in that one already: the others feed it.
    """
    async with make_lab(cutting(every_etcd, short_root)) as lab:
        cut_first_start(lab, *lab.ordinals)
        await lab.start()
        await lab.until("every first start is cut off", lambda: _cut(lab, *lab.ordinals))
        now = await healthy(lab)
        assert len({token(lab, o) for o in lab.ordinals}) == 1
        for ordinal in lab.ordinals:
            births = [
                line.rpartition("birth ")[2].rstrip(".")
                for line in lab.log(ordinal).splitlines()
                if "recorded birth" in line
            ]
            assert births[-1] == token(lab, ordinal)
            was_late = "resume/interrupted-listed" in decided(lab, ordinal)
            assert (len(set(births)), len(aside(lab, ordinal))) == ((1, 0) if was_late else (2, 1))
            assert own_id(lab, ordinal)[1] == now[f"db-{ordinal}"]
            assert lab.pods[ordinal].sidecar.starts == 1


async def _cut(lab: Lab, *ordinals: int) -> bool:
    return not any((lab.volume(o) / "cut").exists() for o in ordinals)


@pytest.mark.row(14)
async def test_one_first_start_is_cut_off(make_lab: MakeLab, etcd: Server, short_root: Path) -> None:
    """One server of three is cut off on its first start while the others form: it starts again as the member that it
    was to be, and the leader feeds it.
    """
    async with make_lab(cutting(etcd, short_root)) as lab:
        cut_first_start(lab, 0)
        await lab.start()
        await lab.until("the first start is cut off", lambda: _cut(lab, 0))
        await healthy(lab)
        assert "resume/interrupted-listed" in decided(lab, 0)
        assert (aside(lab, 0), [did(lab, o, "add-learner") for o in lab.ordinals]) == ([], [0, 0, 0])


@pytest.mark.row(15)
async def test_cut_off_and_no_longer_listed(make_lab: MakeLab, etcd: Server, short_root: Path) -> None:
    """A server was cut off on its first start, and its member was removed since: what was begun goes aside and its Pod
    joins as a new member.
    """
    async with make_lab(cutting(etcd, short_root)) as lab:
        cut_first_start(lab, 2)
        await lab.start()
        await lab.until("the first start is cut off", lambda: _cut(lab, 2))
        await lab.crash(2, recreate=False)
        await lab.until_ready(60, only=(0, 1))
        begun = own_id(lab, 2)[1]
        await remove(lab, 0, begun)
        await lab.create(2)
        now = await healthy(lab)
        assert ("replace/interrupted-aside" in decided(lab, 2), len(aside(lab, 2))) == (True, 1)
        assert now["db-2"] != begun


async def test_a_lost_disk_while_nobody_can_be_reached(make_lab: MakeLab, etcd: Server) -> None:
    """Ordinal 0 loses its disk while its DNS is dead, then while DNS answers but nobody is there at the addresses. It
    forms nothing and says why it waits, and it joins when the others are back. Unreachable is not "no cluster".
    """
    async with make_lab(etcd) as lab:
        await formed(lab)
        before = await ids(lab)
        await put(lab, 1, "key", "kept")
        for mode in ("servfail", "silent", "nxdomain"):
            lab.dns.fault(mode, "db-0")
            await lab.wipe(0)
            words = "not in DNS" if mode == "nxdomain" else "DNS gives no answer"
            await until_says(lab, 0, f"ot heard: db-1 ({words}")
            await stays(lab, 0, "wait-for-all", seconds=1.5)
            assert has_nothing(lab, 0)
            assert await lab.ready(1)

        await all_gone(lab)
        for name in ("db-1", "db-2"):
            lab.dns.publish(name, [lab.network.another()], key="stale")
        lab.dns.fault("ok", "db-0")
        await lab.create(0)
        await until_says(lab, 0, "ot heard: db-1 (connection refused")
        await stays(lab, 0, "wait-for-all")
        assert has_nothing(lab, 0)

        for name in ("db-1", "db-2"):
            lab.dns.withdraw(name, key="stale")
        await asyncio.gather(lab.create(1), lab.create(2))
        assert same(before, await healthy(lab, 1)) == ["db-1", "db-2"]
        assert await get(lab, 0, "key") == "kept"
        assert [rule for rule in decided(lab, 0) if rule.startswith("form/")].count("form/form") == 1


@pytest.mark.row(13, 14)
async def test_two_first_starts_are_cut_off(make_lab: MakeLab, etcd: Server, short_root: Path) -> None:
    """Two of three servers are cut off on their first start while the third runs on with nothing but its bootstrap: a
    cluster comes of it all the same. Where the third was late, so that the two have begun anew, it says that its
    container has to be restarted (as Kubernetes does after half an hour), and that is enough.
    """
    async with make_lab(cutting(etcd, short_root)) as lab:
        cut_first_start(lab, 0, 2)
        await lab.start()
        await lab.until("two first starts are cut off", lambda: _cut(lab, 0, 2))
        await lab.until("all serve, or the third is stuck", lambda: _serves_or_is_stuck(lab, 1), 120)
        if await lab.rule(1) == "stuck-bootstrap":
            lab.kill(1)
        await healthy(lab)


async def _serves_or_is_stuck(lab: Lab, ordinal: int) -> bool:
    return await lab.all_ready() or await lab.rule(ordinal) == "stuck-bootstrap"
