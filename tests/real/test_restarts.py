"""A Pod with its own data just starts, whatever DNS or the others say; a restart changes no membership."""

from __future__ import annotations

import asyncio

import pytest

from peerboot.lab.servers import Server
from tests.real.scenes import (
    MakeLab,
    aside,
    did,
    formed,
    healthy,
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
