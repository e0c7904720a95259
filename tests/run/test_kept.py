"""A Pod that is scaled away with copies of data on its server: what /prestop, the log and status.txt say of them.

The servers here are etcd's, with a look that tells of copies as Kafka's does.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from peerboot import prestop
from peerboot.model import ClusterView, Kept
from peerboot.rules.words import with_remark
from tests.run.turned import turned
from tests.run.world import Pod, World, world

LIVE: dict[str, Any] = {"PEERBOOT_REPLICAS_FROM": "statefulset"}
DRAIN = "`peerboot kafka drain db-3 --yes`"
NINE = Kept(what="9 partitions", alone=("told-0",), remedy=DRAIN)
SAYS = (
    "Its server still holds 9 partitions, under-replicated once it stops, and with it goes the only copy in sync of "
    f"told-0. {DRAIN} before the scale-down would have moved that: scaled up again, this Pod serves it with its volume"
)
UNKNOWN = (
    f"Whether its server still has copies of anything is not known (its broker does not answer): {DRAIN} before the "
    "scale-down would have moved them; what has its only copy there is on its volume and nowhere else"
)
LEFT = "this Pod's member is no longer listed: it has left"
STAYS = "staying a member: it is one of the 4 that the StatefulSet has"


class Keeps:
    """What the last Pod's server keeps; at rest its look tells what it told before."""

    def __init__(self, pod: Pod, kept: Kept | None) -> None:
        self.now = self.read = kept
        self.looks = 0
        self.hangs = 0
        """So many looks that are not at rest never end."""
        self.slow = 0.0
        """Seconds that one takes."""
        system: Any = pod.live.doors.system
        look = type(system).look

        async def tells(*args: Any, **more: Any) -> ClusterView:
            self.looks += 1
            if self.hangs and not more["rest"]:
                self.hangs -= 1
                await asyncio.Event().wait()
            await asyncio.sleep(self.slow)
            self.read = self.read if more["rest"] else self.now
            view: ClusterView = await look(system, *args, **more)
            return msgspec.structs.replace(view, kept=self.read)

        system.look = tells


async def four(w: World, kept: Kept | None) -> tuple[Pod, Keeps]:
    """The fourth of those that serve, and what it keeps."""
    await w.formed()
    keeps = Keeps(w.pods[3], kept)
    await w.still(30)
    return w.pods[3], keeps


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        (NINE, SAYS),
        (Kept(remedy=DRAIN), ""),
        (None, ""),
        (Kept(untold="its broker does not answer", remedy=DRAIN), UNKNOWN),
    ],
    ids=["nine", "drained", "no-copies", "unknown"],
)
@turned
async def test_what_goes_with_it_is_said(tmp_path: Path, kept: Kept | None, says: str) -> None:
    """It leaves all the same. The log of its leave and of /prestop, and status.txt, have the sentence;
    where it was drained nothing of the kind is said.
    """
    async with world(tmp_path, 4, **LIVE) as w:
        pod, _ = await four(w, kept)
        w.api.scale(3)
        said = await pod.view.prestop()
        assert said == LEFT + (f". {says}" if says else "")
        assert "db-3" not in w.members()
        status, told = (pod.output_dir / "status.txt").read_text(), with_remark(says)
        assert (f"Its data stays on the volume.{told}" in pod.log, f"/prestop: {said}." in pod.log) == (True, True)
        assert ("its member has left" in status, told in status) == (True, True)
        spoken = [word in pod.log or word in status for word in ("still holds", "is not known")]
        assert spoken == ["still holds" in says, "is not known" in says]


@turned
async def test_what_was_drained_a_moment_ago_is_not_spoken_of(tmp_path: Path) -> None:
    """At rest it is known as it was some seconds ago: it is asked once more before anything is said, also where another
    Pod leaves first.
    """
    async with world(tmp_path, 5, **LIVE) as w:
        pod, keeps = await four(w, NINE)
        keeps.now = Kept(remedy=DRAIN)
        assert pod.live.memory.view.kept == NINE
        w.api.scale(3)
        asking = asyncio.create_task(pod.view.prestop())
        await w.until(lambda: pod.rule == "leave-waits")
        await w.pods[4].view.prestop()
        assert (await asking, "9 partitions" in pod.log, pod.live.loops.curious) == (LEFT, False, False)


@turned
async def test_a_server_that_hangs_does_not_take_the_time_to_leave(tmp_path: Path) -> None:
    """What it keeps is asked for a few seconds; then it leaves, with what was known before."""
    async with world(tmp_path, 4, **LIVE) as w:
        pod, keeps = await four(w, NINE)
        keeps.hangs = 1
        w.api.scale(3)
        async with asyncio.timeout(prestop.LOOKING + 10):
            assert (await pod.view.prestop()).startswith(LEFT)
        assert (keeps.hangs, f"Its data stays on the volume. {SAYS}" in pod.log) == (0, True)


@turned
async def test_a_call_that_ends_while_it_is_asked_ends_no_leave(tmp_path: Path) -> None:
    """It is about to be stopped from before the question on: told to stop meanwhile, it leaves first."""
    async with world(tmp_path, 4, **LIVE) as w:
        pod, keeps = await four(w, NINE)
        keeps.hangs = 1
        w.api.scale(3)
        asking = asyncio.create_task(pod.view.prestop())
        await w.until(lambda: keeps.hangs == 0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert (await prestop.before_the_end(pod.live, 20)).startswith(LEFT)


@turned
async def test_two_that_ask_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    """Both are answered, and afterwards the loops rest as before."""
    async with world(tmp_path, 4, **LIVE) as w:
        pod, keeps = await four(w, NINE)
        keeps.slow = 1.0
        w.api.scale(3)
        first = asyncio.create_task(pod.view.prestop())
        await asyncio.sleep(0.5)
        said = [await pod.view.prestop(), await first]
        assert ([text[: len(LEFT)] for text in said], pod.live.loops.curious) == ([LEFT] * 2, False)


@turned
async def test_one_that_stays_says_nothing_of_it(tmp_path: Path) -> None:
    """It comes back with its volume, and its server is not asked for it."""
    async with world(tmp_path, 4, **LIVE) as w:
        pod, keeps = await four(w, NINE)
        looks = keeps.looks
        assert (await pod.view.prestop(), keeps.looks) == (STAYS.replace("4", "4 replicas", 1), looks)
