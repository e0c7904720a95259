"""peerboot is killed at each action with which it replaces a lost disk of a real Kafka, and started again."""

from __future__ import annotations

from peerboot.lab.cluster import Lab
from peerboot.lab.kafka_client import PATIENT
from peerboot.lab.servers import Server
from tests.real.deaths import TRIES, Mortal
from tests.real.kafka_scenes import settled, writing
from tests.real.mortal import ENV, FAST, MORTAL
from tests.real.scenes import MakeLab

CALLS = {"remove", "promote"}
"""After these it also dies when they were answered and nothing was written down yet."""


async def test_killed_at_each_action_of_a_lost_disk(make_lab: MakeLab, kafka: Server) -> None:
    """Told once to see what there is to do, then once for each action, killed right after it, and for each admin call
    killed before its answer is noted. Each ends with three voters of three disks in one cluster; no record is missing.
    """
    async with make_lab(kafka, peerboot=MORTAL, env=ENV, timing=FAST) as lab:
        mortal = Mortal(lab)
        lab.pod_env = mortal.environment
        await lab.start()
        await lab.until_ready(PATIENT)
        async with writing(lab) as writer:
            assert not await _replaced(lab, mortal, "after", "nothing")
            actions = sorted(mortal.seen(1))
            calls = {name for action in actions if (name := action.rpartition(" #")[0]) in CALLS}
            chosen = [("after", action) for action in actions] + [("between", call) for call in sorted(calls)]
            alive = [one for one in chosen if not await _dies(lab, mortal, *one)]
            await writer.grows()
        assert (alive, CALLS - calls, len(actions) >= len(CALLS) + 5) == ([], set(), True)
        assert await writer.missing() == []


async def _dies(lab: Lab, mortal: Mortal, moment: str, action: str) -> bool:
    """Whether it came about within a few tries: a leader that was just elected takes the lost one for another."""
    for _ in range(TRIES):
        if await _replaced(lab, mortal, moment, action):
            return True
    return False


async def _replaced(lab: Lab, mortal: Mortal, moment: str, action: str) -> bool:
    """The second Pod loses its disk and is a voter again; whether its peerboot died at that action."""
    mortal.choose(1, moment, action)
    await lab.wipe(1)
    await lab.until_ready(PATIENT)
    await settled(lab)
    return mortal.died(1)
