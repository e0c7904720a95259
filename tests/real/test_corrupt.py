"""Damaged data on real servers: replaced while the cluster stands without it, and always kept."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.etcd.damage import CORRUPTING, database_missing, middle_garbage
from tests.real.scenes import MakeLab, aside, decided, formed, get, healthy, ids, own_id, put, stays, writing
from tests.real.volumes import all_gone, content, give, has_nothing, same, saved, until_says, until_waits_for

RECHECK = {"PEERBOOT_ETCD_CORRUPT_RECHECK": "1s"}


def kept(lab: Lab, ordinal: int) -> dict[str, bytes]:
    """The one copy of a data directory that was set aside."""
    (name,) = aside(lab, ordinal)
    return content(lab.data_dir(ordinal) / name)


def log_of(files: dict[str, bytes]) -> dict[str, bytes]:
    """The write-ahead log among these files."""
    return {name.rpartition("/")[2]: text for name, text in files.items() if name.endswith(".wal")}


@pytest.mark.row(24)
async def test_a_log_is_damaged_under_its_server(make_lab: MakeLab, every_etcd: Server) -> None:
    """A server is killed alone and its log is damaged before it is back; it is killed again while peerboot looks twice.
    The damaged copy is kept aside, the Pod joins as a new member, and no write is lost.
    """
    async with make_lab(every_etcd, env=RECHECK) as lab:
        await formed(lab)
        before = await ids(lab)
        await put(lab, 0, "key", "kept")
        async with writing(lab):
            # Held still first: its container would be back before the damage is done.
            lab.kill(2, number=signal.SIGSTOP)
            middle_garbage(lab.data_dir(2))
            damaged = log_of(content(lab.data_dir(2)))
            lab.kill(2)
            await lab.until_rule(2, "corrupt-replaced")
            lab.kill(2)
            await lab.until("it is set aside", lambda: _aside(lab, 2))
            await lab.until_ready(120)
        assert same(before, await healthy(lab)) == ["db-0", "db-1"]
        assert "wait/corrupt-replaced" in decided(lab, 2)
        assert "replace/corrupt-replaced" in decided(lab, 2)
        assert log_of(kept(lab, 2)) == damaged
        assert lab.pods[2].sidecar.starts == 1


async def _aside(lab: Lab, ordinal: int) -> bool:
    return bool(aside(lab, ordinal))


@pytest.mark.row(24)
async def test_a_disk_is_damaged_while_its_pod_is_down(make_lab: MakeLab, etcd: Server, short_root: Path) -> None:
    """Also damage with which etcd would start and lose or hang writes is found before it starts: the copy is kept, and
    the Pod joins as a new member.
    """

    async def damaged_by(damage: str) -> None:
        async with make_lab(etcd, root=short_root / damage, env=RECHECK) as lab:
            await formed(lab)
            before = await ids(lab)
            await put(lab, 0, "key", "kept")
            await lab.crash(0, recreate=False)
            CORRUPTING[damage](lab.data_dir(0))
            damaged = content(lab.data_dir(0) / "member")
            await lab.create(0)
            await lab.until("it is set aside", lambda: _aside(lab, 0))
            assert lab.pods[0].server.starts == 0
            assert kept(lab, 0) == damaged
            assert same(before, await healthy(lab, 1)) == ["db-1", "db-2"]
            assert await get(lab, 0, "key") == "kept"

    async with asyncio.TaskGroup() as group:
        for damage in ("tail-lost", "log-deleted", "database-garbage"):
            group.create_task(damaged_by(damage))


@pytest.mark.row(3, 6, 25)
async def test_the_last_copy_is_damaged(make_lab: MakeLab, etcd: Server) -> None:
    """Two of three disks are lost while the third is down. The two wait while they hear nothing of it, while its data
    does not read (which is kept: it may be the best copy left), and while it serves without quorum. Its data stays, and
    when a second disk turns up again the cluster serves and the third Pod joins it anew.
    """
    async with make_lab(etcd, env=RECHECK) as lab:
        await formed(lab)
        await put(lab, 0, "precious", "kept")
        before = await ids(lab)
        await all_gone(lab)
        copies = {o: saved(lab, o) for o in (1, 2)}
        await asyncio.gather(lab.wipe(0), lab.wipe(1))
        await asyncio.gather(*(until_waits_for(lab, o, "db-2") for o in (0, 1)))

        middle_garbage(lab.data_dir(2))
        damaged = content(lab.data_dir(2))
        await lab.create(2)
        said = await lab.until_rule(2, "corrupt-kept")
        assert (said["kind"], said["may_run"]) == ("refuse", False)
        await asyncio.gather(*(lab.until_rule(o, "cluster-exists") for o in (0, 1)))
        await asyncio.gather(*(stays(lab, o, "cluster-exists") for o in (0, 1)), stays(lab, 2, "corrupt-kept"))
        assert (content(lab.data_dir(2)), lab.pods[2].server.starts) == (damaged, 0)

        await lab.crash(2, recreate=False)
        give(lab, 2, copies[2])
        await lab.create(2)
        await lab.until_rule(2, "own-data", "quorum-lost")
        await asyncio.gather(*(until_says(lab, o, f"db-2 of cluster {own_id(lab, 2)[0]}") for o in (0, 1)))
        await asyncio.gather(
            *(stays(lab, o, "cluster-exists") for o in (0, 1)), stays(lab, 2, "own-data", "quorum-lost")
        )
        assert (has_nothing(lab, 0, 1), aside(lab, 2), lab.pods[2].server.exits) == (True, [], [])

        await lab.crash(1, recreate=False)
        give(lab, 1, copies[1])
        await lab.create(1)
        assert same(before, await healthy(lab, 2)) == ["db-1", "db-2"]
        assert await get(lab, 0, "precious") == "kept"
        assert decided(lab, 0).count("form/form") == 1


@pytest.mark.row(5, 25)
async def test_a_set_of_one(make_lab: MakeLab, etcd: Server, short_root: Path) -> None:
    """One Pod alone: when its data does not read it refuses and keeps it; when its disk is lost the anchor keeps it
    from forming again.
    """
    anchor = {"PEERBOOT_ANCHOR": f"file:{short_root / 'anchor.json'}"}
    async with make_lab(etcd, replicas=1, env={**RECHECK, **anchor}) as lab:
        await formed(lab)
        await lab.crash(0, recreate=False)
        middle_garbage(lab.data_dir(0))
        damaged = content(lab.data_dir(0))
        await lab.create(0)
        await lab.until_rule(0, "corrupt-kept")
        await stays(lab, 0, "corrupt-kept")
        assert (content(lab.data_dir(0)), lab.pods[0].server.starts) == (damaged, 0)
        await lab.wipe(0)
        await lab.until_rule(0, "anchor-forbids")
        await stays(lab, 0, "anchor-forbids", seconds=1.0)
        assert has_nothing(lab, 0)


@pytest.mark.row(26)
async def test_a_database_is_missing(make_lab: MakeLab, etcd: Server) -> None:
    """A member whose database is gone, while its log is whole and there is no snapshot, just starts: etcd rebuilds it
    from the log. peerboot says so.
    """
    async with make_lab(etcd) as lab:
        await formed(lab)
        before = await ids(lab)
        await put(lab, 0, "key", "kept")
        await asyncio.gather(*(lab.crash(o, recreate=False) for o in (0, 1)))
        for ordinal in (0, 1):
            database_missing(lab.data_dir(ordinal))
        await asyncio.gather(lab.create(0), lab.create(1))
        for ordinal in (0, 1):
            reasons = [entry["reason"] for entry in (await _own_data(lab, ordinal))]
            assert ["snap/db is missing" in reason for reason in reasons] == [True]
        assert await healthy(lab) == before
        assert [await get(lab, o, "key") for o in lab.ordinals] == ["kept"] * 3
        assert [own_id(lab, o)[1] for o in lab.ordinals] == [before[f"db-{o}"] for o in lab.ordinals]
        assert [aside(lab, o) for o in lab.ordinals] == [[], [], []]


async def _own_data(lab: Lab, ordinal: int) -> list[dict[str, str]]:
    """The ledger's first entry of ``own-data``."""
    found: list[dict[str, str]] = []

    async def there() -> bool:
        ledger = (await lab.decision(ordinal)).get("ledger", [])
        found[:] = [entry for entry in ledger if entry["rule"] == "own-data"][:1]
        return bool(found)

    await lab.until("own-data", there)
    return found
