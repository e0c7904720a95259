"""Servers that stop in turn: of several Pods that are told to stop at once no more stop than may be missing.

The servers here are etcd's, whose system is made to ask for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from peerboot.assess import TURN_LASTS
from peerboot.rules.words import quorum_of
from peerboot.systems.etcd.spec import Etcd
from tests.run.turned import turned
from tests.run.world import Pod, World, world

PATIENT: dict[str, Any] = {"PEERBOOT_LEAVE_TIMEOUT": "600s"}


@pytest.fixture(autouse=True)
def in_turn() -> Iterator[None]:
    """etcd, as if it asked for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Etcd, "traits", msgspec.structs.replace(Etcd.traits, in_turn=True))
        yield


def up(w: World) -> int:
    """Servers that run."""
    return sum(pod.server is not None for pod in w.pods)


async def restart(pod: Pod, after: float, ends: float) -> str:
    """As the kubelet does: asked, then its server takes a while to end, then a new Pod; what /prestop said."""
    await asyncio.sleep(after)
    pod.frozen = True
    said = await pod.view.prestop()
    await asyncio.sleep(ends)
    await pod.stop()
    pod.frozen = False
    await asyncio.sleep(1.0)
    pod.start()
    return said


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("apart", [0.0, 0.003, 0.4, 2.5], ids=lambda apart: f"{apart:g} s apart")
@pytest.mark.parametrize(("n", "told"), [(3, 2), (3, 3), (5, 3), (2, 2)], ids=lambda count: f"{count}")
def test_a_majority_is_always_there(n: int, told: int, apart: float, seed: int, tmp_path: Path) -> None:
    """However close to each other they are told to stop, and although a server needs seconds to end: all are restarted,
    one after the other where no more may be missing, and the cluster is what it was. Of two voters one is always there.
    """

    @turned
    async def story() -> None:
        async with world(tmp_path, n, seed=seed, **PATIENT) as w:
            members = await w.formed()
            least = max(quorum_of(n), 1) if n > 2 else 1
            restarts = [restart(pod, apart * number, ends=3.0) for number, pod in enumerate(reversed(w.pods[-told:]))]
            going = asyncio.gather(*restarts)
            await w.until(lambda: _enough(w, least) and going.done(), within=500)
            said = going.result()
            assert [text.startswith("staying a member: stopping is not leaving") for text in said] == [True] * told
            if apart < 1:
                assert sum("it was its turn after" in text for text in said) >= told - (n - least)
            await w.until(w.settled)
            assert w.members() == members

    story()


def _enough(w: World, least: int) -> bool:
    assert up(w) >= least, w.told()
    return True


@turned
async def test_the_wait_is_said_and_bounded(tmp_path: Path) -> None:
    """Another Pod does not come back: status says so until the time of /prestop is over, the log says it then, and the
    Pod goes on as before.
    """
    async with world(tmp_path, PEERBOOT_LEAVE_TIMEOUT="20s") as w:
        await w.formed()
        await w.pods[2].stop()
        pod = w.pods[1]
        asking = asyncio.create_task(pod.view.prestop())
        await w.until(lambda: pod.rule == "stop-waits")
        assert pod.live.decision.waits_for == ("db-2",)
        assert "db-2 is not there, or not in sync" in (await pod.view.admin("status", {}))["sentence"]
        await w.still(15, lambda: not asking.done())
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert "its time is over, and the server stops all the same, though db-2 is not there" in pod.log
        await w.until(lambda: pod.rule == "serving", within=5)


@turned
async def test_a_strangers_call_is_forgotten(tmp_path: Path) -> None:
    """Nobody stops it: for two minutes the others count it as about to stop, and no longer."""
    async with world(tmp_path, **PATIENT) as w:
        await w.formed()
        assert await w.pods[2].view.prestop() == "staying a member: stopping is not leaving"
        assert (w.pods[2].live.statement().turn, w.pods[2].rule) == (1, "serving")
        began = w.now
        assert "it was its turn after" in await w.pods[1].view.prestop()
        assert TURN_LASTS - 5 <= w.now - began <= TURN_LASTS + 5
        assert w.pods[2].live.statement().turn == 0


@turned
async def test_a_container_that_was_restarted_is_back(tmp_path: Path) -> None:
    """The server's container alone was restarted, after its preStop: its turn is over when the server runs again."""
    async with world(tmp_path, **PATIENT) as w:
        await w.formed()
        pod = w.pods[2]
        await pod.view.prestop()
        pod.tasks[1].cancel()
        await w.until(lambda: not pod.live.memory.disk.running, within=30)
        assert pod.live.statement().turn == 1
        pod.tasks[1] = asyncio.create_task(pod._kubelet())
        await w.until(lambda: pod.live.memory.disk.running, within=30)
        assert pod.live.statement().turn == 0
