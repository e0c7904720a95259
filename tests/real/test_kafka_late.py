"""A controllers' Pod that comes five minutes late. In a file of its own: five real minutes, in which no server runs."""

from __future__ import annotations

import asyncio
import re

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.real.kafka_scenes import PATIENT, kind, settled
from tests.real.scenes import MakeLab, did

LATE = 300.0
"""Seconds, and real ones: that no wait of another process's ends by itself cannot be seen on a turned clock."""
LOOKS = 5.0


@pytest.mark.row(2)
async def test_a_controller_is_five_minutes_late(make_lab: MakeLab, kafka: Server) -> None:
    """Two of three wait for five minutes: they say whom they wait for and since when, and format nothing. Seconds
    after the third has come all are born, and are one cluster of three voters.
    """
    async with make_lab(kafka) as lab:
        await lab.start(only=(0, 1))
        await lab.until("both wait for it alone", lambda: _wait_for_it(lab))
        since = [(await lab.decision(o))["since"] for o in (0, 1)]
        end = asyncio.get_running_loop().time() + LATE
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(LOOKS)
            assert await _wait_for_it(lab), lab.told()
            assert [(lab.pods[o].server.starts, kind(lab, o)) for o in (0, 1)] == [(0, "blank")] * 2
        assert [(await lab.decision(o))["since"] for o in (0, 1)] == since
        status = (await lab.pods[0].run("status")).stdout
        told = re.findall(r"^(db-\d) .* wait-for-all +(\S+)$", status, re.MULTILINE)
        assert told == [("db-0", "5m"), ("db-1", "5m")], status
        await lab.create(2)
        await lab.until("all are born", lambda: _born(lab), 30)
        await lab.until_ready(PATIENT)
        await settled(lab)


async def _wait_for_it(lab: Lab) -> bool:
    """Both say that they have heard from all but the third."""
    told = [await lab.decision(ordinal) for ordinal in (0, 1)]
    said = [(one.get("waits_for"), "Not heard: db-2 (not in DNS)." in one.get("reason", "")) for one in told]
    return said == [(["db-2"], True)] * 2


async def _born(lab: Lab) -> bool:
    return [did(lab, ordinal, "recorded birth") for ordinal in lab.ordinals] == [1, 1, 1]
