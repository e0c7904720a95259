"""peerboot is killed right after each action of each plan, one after the other, and started again.

A story is told once for every action that one Pod carries out in it, until there is no such action any more. The
server's container lives on and is restarted by the kubelet without asking, as it is in a Pod.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from peerboot import act
from peerboot.model import Action, Call, Done
from peerboot.systems.etcd.spec import Etcd
from tests.run.etcd_model import Files
from tests.run.turned import run
from tests.run.world import Killed, World, world

Story = Callable[[World, "Death"], Awaitable[None]]


@dataclass
class Death:
    """Kills one Pod's peerboot after its so-manieth action."""

    pod: str
    after: int
    seen: list[str] = field(default_factory=list)
    armed: bool = False

    def strike(self, pod: str, what: str) -> None:
        if not self.armed or pod != self.pod:
            return
        self.seen.append(what)
        if len(self.seen) == self.after:
            raise Killed(what)


@pytest.fixture
def death(monkeypatch: pytest.MonkeyPatch) -> Death:
    """Strikes after every action, and between an admin call and what is written down of it."""
    found = Death("db-2", 0)
    perform, call = act.perform, Etcd.call

    async def mortal_perform(action: Action, doors: act.Doors) -> Done:
        done = await perform(action, doors)
        found.strike(doors.output_dir.parent.name, act.describe(action))
        return done

    async def mortal_call(self: Etcd, http: Any, wanted: Call, *rest: Any) -> Done:
        done = await call(self, http, wanted, *rest)
        found.strike(self.config.identity.pod, f"{wanted.name}, not yet written down")
        return done

    monkeypatch.setattr(act, "perform", mortal_perform)
    monkeypatch.setattr(Etcd, "call", mortal_call)
    return found


async def form(w: World, death: Death) -> None:
    """All blank."""
    death.armed = True
    w.start()
    await w.until(w.settled)


async def lost_disk(w: World, death: Death) -> None:
    """A member's volume was replaced: it is removed and joins as a new one."""
    before = await w.formed()
    pod = w.pods[2]
    await pod.stop()
    pod.wipe()
    death.armed = True
    pod.start()
    await w.until(w.settled)
    after = w.members()
    assert after.pop("db-2") != before.pop("db-2")
    assert before == after


async def removed_member(w: World, death: Death) -> None:
    """A member was removed while its Pod was down: its data goes aside and it joins as a new one."""
    before = await w.formed()
    pod = w.pods[2]
    await pod.stop()
    cluster = w.clusters.by_id[w.clusters.served[0]]
    del cluster.members[before["db-2"]]
    death.armed = True
    pod.start()
    await w.until(w.settled)
    assert len(list((pod.data_dir).glob("member.aside-*"))) == 1


async def corrupt(w: World, death: Death) -> None:
    """A member's log cannot be read: the data goes aside, the member is replaced."""
    await w.formed()
    pod = w.pods[2]
    await pod.stop()
    Files(pod.data_dir).wal.write_bytes(b"\x07" * 4096)
    death.armed = True
    pod.start()
    await w.until(w.settled)
    assert len(list((pod.data_dir).glob("member.aside-*"))) == 1


async def interrupted(w: World, death: Death) -> None:
    """The first start of all servers was cut off before they wrote anything: all are born anew."""
    w.clusters.slow_start = True
    w.start()
    await w.until(lambda: all(pod.node is not None and pod.rule == "first-start" for pod in w.pods))
    await w.stop()
    w.clusters.slow_start = False
    death.armed = True
    w.start()
    await w.until(w.settled)


STORIES: dict[str, tuple[Story, int]] = {
    "form": (form, 5),
    "lost-disk": (lost_disk, 8),
    "removed-member": (removed_member, 9),
    "corrupt": (corrupt, 9),
    "interrupted": (interrupted, 6),
}
"""Each story with the least number of actions that the Pod carries out in it."""


@pytest.mark.parametrize("name", STORIES)
def test_killed_after_each_action_of_every_plan(name: str, tmp_path: Path, death: Death) -> None:
    """Whichever action was the last before the process died, the next start leads to one healthy cluster."""
    story, least = STORIES[name]

    async def told(root: Path) -> None:
        async with world(root, seed=death.after) as w:
            await story(w, death)
            assert len([c for c in w.clusters.by_id.values() if c.served]) == 1

    for death.after in range(1, 100):
        death.seen, death.armed = [], False
        run(told(tmp_path / str(death.after)))
        if len(death.seen) < death.after:
            break
    assert least <= death.after - 1 < 98
