"""The role that load balancers are told: by a look of now, and no more than one look a second for all who ask."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from peerboot.roles import answer
from peerboot.view import LOOK_EVERY, NodeView
from tests.run.turned import turned
from tests.run.world import Pod, world


def watched(pod: Pod, monkeypatch: pytest.MonkeyPatch, takes: float = 0.0) -> list[float]:
    """When each look of this pod's peerboot begins, from now on; each takes so long."""
    times: list[float] = []
    node, look = pod.live, pod.live.look

    async def looks() -> None:
        times.append(node.doors.clock.now())
        await asyncio.sleep(takes)
        await look()

    monkeypatch.setattr(node, "look", looks)
    return times


@turned
async def test_one_of_the_set_leads(tmp_path: Path) -> None:
    """Each Pod answers for its own server."""
    async with world(tmp_path) as w:
        await w.formed()
        roles = [await NodeView(pod.live).role() for pod in w.pods]
        assert sorted(answer("/leader", [], role)[0] for role in roles) == [200, 503, 503]
        assert [(role.pod, role.system, role.up, role.serves) for role in roles] == [
            (pod.name, "etcd", True, True) for pod in w.pods
        ]


@turned
async def test_a_server_that_ends_has_no_role_a_second_later(tmp_path: Path) -> None:
    """At rest the loop looks every ten seconds only; who asks for the role makes it look."""
    async with world(tmp_path) as w:
        await w.formed()
        await asyncio.sleep(60)
        pod, view = w.pods[1], NodeView(w.pods[1].live)
        before = (await view.role()).up
        pod.frozen, pod.server = True, None
        await asyncio.sleep(LOOK_EVERY + 0.01)
        role = await view.role()
        assert (before, role.up, answer("/health", [], role)[0]) == (True, False, 503)


@turned
async def test_however_many_ask_it_looks_once_a_second(tmp_path: Path) -> None:
    """Readiness and role together."""
    with pytest.MonkeyPatch.context() as patch:
        async with world(tmp_path) as w:
            await w.formed()
            await asyncio.sleep(60)
            view, times = NodeView(w.pods[0].live), watched(w.pods[0], patch)
            for _ in range(100):
                await asyncio.gather(*(view.role() for _ in range(20)), view.readiness())
                await asyncio.sleep(0.1)
            gaps = [later - earlier for earlier, later in pairwise(times)]
            assert (min(gaps) > LOOK_EVERY, len(times) >= 8) == (True, True)


@turned
async def test_who_asks_during_a_look_is_told_what_it_finds(tmp_path: Path) -> None:
    """Nobody is told what was so before a look that takes long, and nobody makes a second one."""
    with pytest.MonkeyPatch.context() as patch:
        async with world(tmp_path) as w:
            await w.formed()
            await asyncio.sleep(60)
            pod, view = w.pods[1], NodeView(w.pods[1].live)
            pod.frozen, pod.server = True, None
            await asyncio.sleep(LOOK_EVERY + 0.01)
            times = watched(pod, patch, takes=2.0)
            first = asyncio.create_task(view.role())
            await asyncio.sleep(1.0)
            found = [await view.role(), await first]
            assert ([role.up for role in found], len(times)) == ([False, False], 1)
