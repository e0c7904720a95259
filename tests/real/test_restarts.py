"""A Pod with its own data just starts, whatever DNS or the others say; a restart changes no membership."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.container import Container
from peerboot.lab.dns import Mode
from peerboot.lab.servers import Server
from peerboot.systems.etcd import datadir
from tests.etcd import damage
from tests.real import cut_off
from tests.real.scenes import (
    MakeLab,
    aside,
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
    writing,
)


@pytest.mark.row(16, 17)
async def test_rolling_restart_then_all_at_once(every_etcd: Server, make_lab: MakeLab) -> None:
    """One Pod after the other, then all killed at once: members keep their ids on new addresses, no acknowledged
    write is missing, and nobody is added or removed.
    """
    async with make_lab(every_etcd) as lab, writing(await formed(lab)):
        before = await healthy(lab)
        for ordinal in lab.ordinals:
            await lab.delete(ordinal, grace=10)
            await lab.until_ready(60)
        addresses = {lab.pods[o].spec.address for o in lab.ordinals}
        await asyncio.gather(*(lab.crash(o) for o in lab.ordinals))
        assert addresses.isdisjoint(lab.pods[o].spec.address for o in lab.ordinals)
        assert await healthy(lab) == before
        assert [did(lab, o, "remove ") + did(lab, o, "add-learner") + len(aside(lab, o)) for o in lab.ordinals] == [
            0
        ] * 3


@pytest.mark.row(16)
async def test_restart_without_dns(etcd: Server, make_lab: MakeLab) -> None:
    """All DNS is dead, in each way: a Pod with data starts, serves again when quorum is there, and the rest goes on."""
    async with make_lab(etcd) as lab:
        before = await healthy(await formed(lab))
        for ordinal, mode in enumerate((Mode.SERVFAIL, Mode.NXDOMAIN, Mode.SILENT)):
            lab.dns.fault(mode)
            await lab.crash(ordinal)
            await lab.until_ready(60)
            assert (await lab.pods[(ordinal + 1) % 3].get("/livez"))[0] == 200
        assert [lab.pods[o].server.starts for o in lab.ordinals] == [1, 1, 1]
        assert await ids(lab) == before


@pytest.mark.row(16)
async def test_quorum_lost_is_told_and_nothing_is_done(etcd: Server, make_lab: MakeLab) -> None:
    """Two of three are gone: the third starts alone with its data, says what it misses, and changes nothing."""
    async with make_lab(etcd) as lab:
        before = await healthy(await formed(lab))
        await asyncio.gather(*(lab.crash(o, recreate=False) for o in lab.ordinals))
        await lab.create(1)
        await until_says(lab, 1, "have no quorum now; peerboot changes no membership")
        await stays(lab, 1, "own-data")
        status, text = await lab.pods[1].get("/readyz")
        assert (status, "not serving" in text) == (503, True)
        assert (await lab.pods[1].get("/livez"))[0] == 200
        await asyncio.gather(lab.create(0), lab.create(2))
        assert await healthy(lab) == before


@pytest.mark.row(17)
async def test_containers_restart_alone(etcd: Server, make_lab: MakeLab) -> None:
    """The server's container alone, then the sidecar's alone, then both: nothing else changes, the server runs on
    without its sidecar.
    """
    async with make_lab(etcd) as lab, writing(await formed(lab)):
        before = await healthy(lab)
        pod = lab.pods[1]
        lab.kill(1)
        await lab.until("the server is back", lambda: _starts(pod.server, 2))
        assert await healthy(lab) == before
        running = pod.server.pid
        lab.kill(1, "peerboot")
        await lab.until("the sidecar is back", lambda: _starts(pod.sidecar, 2))
        assert await healthy(lab) == before
        assert pod.server.pid == running
        lab.kill(1, "peerboot")
        lab.kill(1)
        await lab.until("both are back", lambda: _starts(pod.server, 3))
        assert await healthy(lab) == before


async def _starts(container: Container, count: int) -> bool:
    return container.starts >= count


@pytest.mark.row(17)
async def test_peer_url_changes(etcd: Server, make_lab: MakeLab) -> None:
    """The Pods get other host names in their URLs, one after the other: each entry is updated, ids and data stay."""
    async with make_lab(etcd) as lab, writing(await formed(lab)):
        before = await healthy(lab)
        # The hosts file of the lab knows the short names too.
        for ordinal in lab.ordinals:
            lab.pod_env[ordinal] = {"PEERBOOT_ETCD_PEER_HOST": "{pod}"}
            await lab.delete(ordinal, grace=10)
            await lab.until("its entry is updated", partial(_did, lab, ordinal, "update-peer-urls"))
            await lab.until_ready(60)
        assert await healthy(lab) == before


async def _did(lab: Lab, ordinal: int, action: str) -> bool:
    return did(lab, ordinal, action) == 1


@pytest.mark.row(14, 15)
async def test_one_first_start_cut_off(every_etcd: Server, make_lab: MakeLab, short_root: Path) -> None:
    """Two formed, the first starts of two others were cut off. One is listed by the cluster: it just starts and is fed.
    The entry of the other was removed meanwhile: what was begun goes aside and it joins as a new member.
    """
    server = cut_off.server(every_etcd, short_root / "bin", ("db-3", "db-4"))
    async with make_lab(server, replicas=5) as lab:
        await lab.start()
        await lab.until("the last one is cut off", lambda: _starts_ended(lab.pods[4].server))
        await lab.crash(4, recreate=False)
        await lab.until_ready(60, only=(0, 1, 2, 3))
        assert (datadir.read(lab.data_dir(4)).kind, aside(lab, 3)) == ("interrupted", [])
        assert "resume/interrupted-listed" in decided(lab, 3)
        member = own_id(lab, 4)[1]
        await remove(lab, 0, member)
        await lab.create(4)
        listed = await healthy(lab, voters=5)
        assert (member in listed.values(), len(aside(lab, 4))) == (False, 1)
        assert "replace/interrupted-aside" in decided(lab, 4)


async def _starts_ended(container: Container) -> bool:
    return bool(container.exits)


@pytest.mark.row(26)
async def test_database_missing(every_etcd: Server, make_lab: MakeLab) -> None:
    """Without its database, and with no snapshot yet, the server starts and rebuilds it from its log; that is said."""
    async with make_lab(every_etcd) as lab:
        before = await healthy(await formed(lab))
        await put(lab, 0, "key", "value")
        await lab.crash(2, recreate=False)
        damage.database_missing(lab.data_dir(2))
        await lab.create(2)
        assert await healthy(lab) == before
        assert "etcd rebuilds it from its log" in lab.log(2)
        assert await get(lab, 2, "key") == "value"


async def test_two_pods_with_one_name(etcd: Server, make_lab: MakeLab) -> None:
    """A forced deletion: the next Pod starts on the same volume while the old one still runs; it waits for its lock."""
    async with make_lab(etcd) as lab, writing(await formed(lab)):
        before = await healthy(lab)
        old = lab.pods[1]
        await lab.delete(1, force=True)
        assert lab.pods[1] is not old
        found = await lab.until_rule(1, "second-holder", "volume-in-use", "looking", "own-data", "serving")
        assert found["rule"]
        assert await healthy(lab) == before
        assert own_id(lab, 1)[1] == before["db-1"]
