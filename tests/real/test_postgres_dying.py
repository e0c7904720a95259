"""peerboot is killed at each action with which a real Postgres takes the writes again, or copies, and started again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.real.deaths import Mortal, spared
from tests.real.mortal import ENV, FAST, MORTAL
from tests.real.postgres_scenes import PATIENT, primaries, settled, sql, switched, writing
from tests.real.scenes import MakeLab

Scene = Callable[[Lab], Awaitable[None]]


async def _primary_dies(lab: Lab) -> None:
    """Its Pod comes back with its volume: it asks, and takes the writes again."""
    await lab.crash(0)


async def _standby_is_lost(lab: Lab) -> None:
    """Its Pod comes back without its volume: it copies the primary."""
    await lab.wipe(1)


STORIES = {
    "the primary's Pod": (0, _primary_dies, {"asks for the writes", "recorded that the call is made", "promote"}),
    "a lost disk": (1, _standby_is_lost, {"recorded that this disk joins cluster", "recorded that the server may run"}),
}


@pytest.mark.row(3, 4)
@pytest.mark.parametrize(("ordinal", "scene", "needed"), STORIES.values(), ids=STORIES)
async def test_killed_at_each_action(
    make_lab: MakeLab, postgres: Server, ordinal: int, scene: Scene, needed: set[str]
) -> None:
    """Told once to see what there is to do, then once for each action, killed right after it, and for the promotion
    killed before its answer is noted. Each ends with one primary, the same, and no row is missing.
    """
    async with make_lab(postgres, peerboot=MORTAL, env=ENV, timing=FAST) as lab:
        mortal = Mortal(lab)
        lab.pod_env = mortal.environment
        await lab.start()
        await lab.until_ready(PATIENT)
        async with writing(lab) as writer:
            told = partial(_told, lab, mortal, ordinal, scene)
            assert not await told("after", "nothing")
            actions = sorted(mortal.seen(ordinal))
            alive = await spared(actions, partial(told, "after"), needed)
            if "promote" in needed and not await told("between", "promote"):
                alive.append("between promote")
            await writer.grows()
        names = {action.rpartition(" #")[0] for action in actions}
        assert (alive, needed - names) == ([], set())


async def _told(lab: Lab, mortal: Mortal, ordinal: int, scene: Scene, moment: str, action: str) -> bool:
    """Whether its peerboot died at that action; all is well in the end."""
    mortal.choose(ordinal, moment, action)
    await scene(lab)
    await settled(lab, 0)
    return mortal.died(ordinal)


@pytest.mark.row(7, 8)
async def test_killed_at_each_action_of_a_rewind(make_lab: MakeLab, postgres: Server) -> None:
    """Somebody runs pg_promote on a standby while the primary lives, whose peerboot is killed right after each action
    by which it is stopped and rewound; a person moves the writes back in between. Each ends with one primary, and no
    row that was written after it is missing.
    """
    async with make_lab(postgres, peerboot=MORTAL, env=ENV, timing=FAST) as lab:
        mortal = Mortal(lab)
        lab.pod_env = mortal.environment
        await lab.start()
        await lab.until_ready(PATIENT)
        assert not await _rewound(lab, mortal, "nothing")
        actions = sorted(mortal.seen(0))
        needed = {"withdrew run.ok", "wrote stop", "wrote run.ok", "wrote rewinds"}
        alive = await spared(actions, partial(_rewound, lab, mortal), needed)
        async with writing(lab) as writer:
            await writer.grows()
        names = {action.rpartition(" #")[0] for action in actions}
        assert (alive, needed - names) == ([], set())


async def _restarted(lab: Lab, starts: int) -> bool:
    return lab.pods[0].sidecar.starts > starts


async def _rewound(lab: Lab, mortal: Mortal, action: str) -> bool:
    """Whether the former primary's peerboot died at that action; the one that was told to is the primary in the end."""
    if await primaries(lab) != [0]:
        await switched(lab, 0)
    await _takes(lab, 0)
    # Another process counts its actions from one.
    starts = lab.pods[0].sidecar.starts
    lab.kill(0, "peerboot")
    await lab.until("it was started again", partial(_restarted, lab, starts), PATIENT)
    await settled(lab, 0)
    mortal.choose(0, "after", action)
    await sql(lab, 1, "SELECT pg_promote()")
    await _takes(lab, 1)
    return mortal.died(0)


async def _takes(lab: Lab, ordinal: int) -> None:
    """All serve, and that Pod's server alone takes writes."""

    async def alone() -> bool:
        return await primaries(lab) == [ordinal]

    await lab.until(f"{ordinal} alone takes writes", alone, PATIENT)
    await settled(lab, ordinal)
