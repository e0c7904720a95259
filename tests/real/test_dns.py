"""What a dead, slow or forgetful DNS does to real sets: nothing to members, and little to those that form."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.real.mortal import FAST
from tests.real.scenes import MakeLab, decided, formed, healthy, ids, writing

DEAD = ("servfail", "nxdomain", "silent")
OUTAGE = 10.0


async def _asked(lab: Lab, before: dict[str, int], times: int) -> bool:
    """Whether every Pod has put so many more questions to DNS."""
    return all(lab.dns.questions[lab.pod_name(o)] >= before[lab.pod_name(o)] + times for o in lab.ordinals)


def permits(lab: Lab) -> dict[str, tuple[int, int]]:
    """Every server's config file, by when and as what file it was written."""
    found = (pod.output / "etcd.yaml" for pod in lab.pods.values())
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


async def _lives_through(lab: Lab, mode: str) -> None:
    """An outage in a healthy set, with a Pod that is restarted at its end, while DNS is still dead."""
    await formed(lab)
    before, said, files = await ids(lab), [decided(lab, o) for o in lab.ordinals], permits(lab)
    async with writing(lab):
        asked = dict(lab.dns.questions)
        lab.dns.fault(mode)
        end = asyncio.get_running_loop().time() + OUTAGE
        while asyncio.get_running_loop().time() < end or not await _asked(lab, asked, 1):
            for pod in lab.pods.values():
                assert [(await pod.get(path))[0] for path in ("/livez", "/readyz")] == [200, 200]
            await asyncio.sleep(0.5)
        # The logs show every change of decision, so also one that came and went.
        assert ([decided(lab, o) for o in lab.ordinals], permits(lab)) == (said, files)

        await lab.crash(1)
        await lab.until_ready()
        assert decided(lab, 1)[len(said[1]) :][0:2] == ["wait/looking", "resume/own-data"]
        assert lab.pods[1].server.starts == 1
        assert lab.dns.faults()["db-1"] == mode
        lab.dns.fault("ok")
    assert await healthy(lab) == before


async def test_an_outage_changes_nothing(make_lab: MakeLab, etcd: Server, short_root: Path) -> None:
    """While DNS fails, denies every name or says nothing, a healthy set stays as it is and alive, and a Pod with its
    own data that is restarted just starts.
    """

    async def one(mode: str) -> None:
        async with make_lab(etcd, root=short_root / mode, timing=FAST) as lab:
            await _lives_through(lab, mode)

    async with asyncio.TaskGroup() as group:
        for mode in DEAD:
            group.create_task(one(mode))


async def test_answers_that_are_kept_for_long(make_lab: MakeLab, etcd: Server) -> None:
    """With `cache 30` and TTLs of 30 s, an answer that came too early would cost half a minute: the first question
    comes when the Pods are likely listed.
    """
    async with make_lab(etcd, ttl=30, cache=30.0) as lab:
        await lab.start()
        await lab.until_ready(20)


@pytest.mark.parametrize("seconds", [0.6, 1.5], ids="{}s".format)
async def test_slow_answers(make_lab: MakeLab, etcd: Server, seconds: float) -> None:
    """Late answers of DNS make a set form later, not otherwise; for one Pod alone too."""
    async with make_lab(etcd) as lab:
        lab.dns.delay(seconds, "db-2")
        lab.dns.delay(0.2, "db-1")
        await formed(lab)
        assert len(set((await healthy(lab)).values())) == 3
        assert [decided(lab, o).count("form/born") for o in lab.ordinals] == [1, 1, 1]
