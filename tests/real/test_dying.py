"""peerboot is killed right after each action of each plan, one after the other, and started again by its kubelet."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.etcd import damage
from tests.real import cut_off, dying
from tests.real.scenes import MakeLab, aside, formed, get, healthy, ids, put, remove, writing

Story = Callable[[Lab], Awaitable[None]]
MORTAL = (sys.executable, "-m", "tests.real.dying")
MOST = 30
"""Actions that no story has."""


async def lost_disk(lab: Lab) -> None:
    """The volume is replaced by an empty one."""
    await lab.wipe(2)


async def removed_member(lab: Lab) -> None:
    """The member is removed while its Pod is down."""
    member = (await ids(lab))["db-2"]
    await lab.crash(2, recreate=False)
    await remove(lab, 0, member)
    await lab.create(2)


async def corrupt_data(lab: Lab) -> None:
    """The log is damaged while its Pod is down."""
    await lab.crash(2, recreate=False)
    damage.middle_garbage(lab.data_dir(2))
    await lab.create(2)


STORIES: dict[str, tuple[Story, int]] = {
    "lost disk": (lost_disk, 8),
    "removed member": (removed_member, 10),
    "corrupt data": (corrupt_data, 10),
}
"""Each with the least number of actions that its Pod carries out."""


async def one_after_the_other(lab: Lab, plan: Path, story: Story) -> int:
    """Tell the story again and again, with a death one action later each time, until it ends before its death."""
    for number in range(1, MOST):
        before = await healthy(lab)
        moved = len(aside(lab, 2))
        plan.write_text(str(number))
        await story(lab)
        after = await healthy(lab)
        assert after.pop("db-2") != before.pop("db-2")
        assert after == before
        # Data goes aside once, however often its owner dies.
        assert len(aside(lab, 2)) == moved + (story is not lost_disk)
        if story is lost_disk:
            assert aside(lab, 2) == []
        if plan.exists():
            return number - 1
    raise AssertionError(f"more than {MOST} actions")


async def test_killed_after_each_action_of_a_plan(etcd: Server, make_lab: MakeLab, short_root: Path) -> None:
    """A lost disk, a removed member, corrupt data: whichever action was the last, one healthy member comes of it, the
    others keep their ids, and no acknowledged write is lost.
    """

    async def told(name: str, story: Story, least: int) -> None:
        plan = short_root / name.replace(" ", "-")
        env = {"PEERBOOT_ETCD_CORRUPT_RECHECK": "300ms", dying.SETTING: str(plan)}
        async with make_lab(etcd, peerboot=MORTAL, env={"PYTHONPATH": str(Path(__file__).parents[2])}) as lab:
            lab.pod_env[2] = env
            async with writing(await formed(lab)):
                count = await one_after_the_other(lab, plan, story)
            assert count >= least, plan.with_suffix(".done").read_text()

    async with asyncio.TaskGroup() as group:
        for name, (story, least) in STORIES.items():
            group.create_task(told(name, story, least))


@pytest.mark.row(1, 13)
async def test_killed_after_each_action_of_forming(etcd: Server, make_lab: MakeLab, short_root: Path) -> None:
    """All three die after the same action, while they form, and while they are born anew because their servers' first
    starts were cut off: one cluster forms, in which all of them are.
    """
    ended: set[int] = set()

    async def told(number: int) -> None:
        plans = [short_root / f"{number}-{ordinal}" for ordinal in range(3)]
        pods = ("db-0", "db-1", "db-2") if number > 3 else ()
        server = cut_off.server(etcd, short_root / f"bin-{number}", pods)
        async with make_lab(server, peerboot=MORTAL, env={"PYTHONPATH": str(Path(__file__).parents[2])}) as lab:
            for ordinal, plan in enumerate(plans):
                plan.write_text(str(number))
                lab.pod_env[ordinal] = {dying.SETTING: str(plan)}
            await healthy(await formed(lab))
            await put(lab, 0, "key", "value")
            assert [await get(lab, o, "key") for o in lab.ordinals] == ["value"] * 3
        if all(plan.exists() for plan in plans):
            ended.add(number)

    for first in range(1, MOST, 3):
        async with asyncio.TaskGroup() as group:
            for number in range(first, first + 3):
                group.create_task(told(number))
        if ended:
            break
    assert ended
    assert min(ended) > 10
