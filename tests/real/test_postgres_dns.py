"""Sets of real Postgres while DNS says nothing."""

from __future__ import annotations

from functools import partial

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.real.postgres_scenes import PATIENT, formed, primaries, settled, writing
from tests.real.scenes import MakeLab, stays


@pytest.mark.row(3)
async def test_dns_is_silent(make_lab: MakeLab, postgres: Server) -> None:
    """The primary's server is killed: it takes the writes again, for nobody's address changed. Its Pod is killed: the
    others cannot know where the new one is, so nobody takes writes, and nobody else is promoted, until DNS is back.
    """
    async with make_lab(postgres) as lab:
        cluster = await formed(lab)
        async with writing(lab) as writer:
            lab.dns.fault("silent")
            lab.kill(0)
            await lab.until("its container was restarted", partial(_restarted, lab))
            await writer.grows()
            await settled(lab, 0)
            await lab.crash(0)
            await stays(lab, 1, "no-primary")
            assert await primaries(lab) == []
            lab.dns.fault("ok")
            await writer.grows()
            assert await settled(lab, 0) == cluster


async def _restarted(lab: Lab) -> bool:
    return lab.pods[0].server.starts > 1


@pytest.mark.row(8)
async def test_an_old_primary_returns_at_once(make_lab: MakeLab, postgres: Server) -> None:
    """Its Pod is away for seconds, a person promotes another one past it, and it is back while that one comes to take
    the writes: one of the two does, and the other follows.
    """
    async with make_lab(postgres, env={"PEERBOOT_POSTGRES_SYNCHRONOUS": "2"}) as lab:
        await formed(lab)
        async with writing(lab) as writer:
            await lab.crash(0, recreate=False)
            await lab.until("it may be promoted", partial(_offered, lab), PATIENT)
            done = await lab.pods[2].run("postgres", "promote", "--yes")
            assert done.returncode == 0, done.stderr
            await lab.create(0)
            await writer.grows()
            await lab.until_ready(PATIENT)
        found = await primaries(lab)
        assert found in ([0], [2])
        await settled(lab, found[0])


async def _offered(lab: Lab) -> bool:
    reason = str((await lab.decision(2)).get("reason", ""))
    return "without the word of db-0:" in reason and "more than this one" not in reason
