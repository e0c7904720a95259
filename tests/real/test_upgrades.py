"""Upgrades."""

from __future__ import annotations

import json

import pytest

from peerboot.lab.servers import find
from tests.real.scenes import MakeLab, formed, healthy, ids, writing


@pytest.mark.parametrize("path", [("3.4", "3.5"), ("3.5", "3.6")], ids="-".join)
async def test_try(make_lab: MakeLab, path) -> None:
    old, new = (find(v) for v in path)
    async with make_lab(old) as lab, writing(await formed(lab)):
        before = await healthy(lab)
        print(before)
        lab.pod_server[2] = new
        await lab.delete(2, grace=10)
        await lab.until_ready(60)
        print("2 new", await healthy(lab))
        await lab.wipe(2)
        await lab.until_ready(60)
        print("2 wiped (newer joins)", await healthy(lab))
        await lab.wipe(0)
        await lab.until_ready(60)
        print("0 wiped (older joins)", await healthy(lab))
        for o in (1, 0):
            lab.pod_server[o] = new
            await lab.delete(o, grace=10)
            try:
                await lab.until_ready(40)
            except Exception as e:
                print("STUCK", o, e)
                print(lab.log(o, "server")[-3000:])
                return
            print(o, "new", await healthy(lab))
        for o in lab.ordinals:
            print((await lab.pods[o].run("status", "--json")).stdout)
        lab.pod_server[1] = old
        await lab.delete(1, grace=10)
        import asyncio
        await asyncio.sleep(5)
        print("downgraded", lab.pods[1].sentence(), lab.pods[1].server.exits)
        print("\n".join(l[:400] for l in lab.log(1, "server").splitlines() if "fatal" in l or "panic" in l)[-1500:])
        await lab.wipe(1)
        await asyncio.sleep(8)
        print("blank older", lab.pods[1].sentence(), lab.pods[1].server.exits)
        print("\n".join(l[:400] for l in lab.log(1, "server").splitlines() if "fatal" in l or "panic" in l)[-1500:])
        lab.pod_server[1] = new
        await lab.delete(1)
        await lab.until_ready(60)
