"""A Pod with its own data just starts, whatever DNS or the others say; a restart changes no membership."""

from __future__ import annotations

import asyncio

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.real.mortal import FAST
from tests.real.scenes import MakeLab, aside, did, formed, healthy, stays, writing


@pytest.mark.row(17)
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
        changes = [did(lab, o, "remove ") + did(lab, o, "add-learner") + len(aside(lab, o)) for o in lab.ordinals]
        assert changes == [0, 0, 0]


@pytest.mark.row(16)
async def test_alone_with_its_data(make_lab: MakeLab, every_etcd: Server) -> None:
    """All are gone and one Pod comes back: its server starts with its data, whoever else is there, and waits for the
    others inside; peerboot does not wait for them, or all would wait for each other.
    """
    async with make_lab(every_etcd, timing=FAST) as lab:
        await formed(lab)
        before = await healthy(lab)
        await asyncio.gather(*(lab.crash(o, recreate=False) for o in lab.ordinals))
        await lab.create(1)
        decision = await lab.until_rule(1, "own-data")
        assert (decision["kind"], decision["may_run"]) == ("resume", True)
        await lab.until("its server runs", lambda: _runs(lab, 1))
        await stays(lab, 1, "own-data", seconds=1.5)
        assert (lab.pods[1].server.starts, lab.pods[1].server.exits) == (1, [])
        await asyncio.gather(lab.create(0), lab.create(2))
        assert await healthy(lab) == before


async def _runs(lab: Lab, ordinal: int) -> bool:
    return lab.pods[ordinal].server.pid is not None
