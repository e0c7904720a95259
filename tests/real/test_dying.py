"""peerboot is killed at each action of each plan, on real servers, and started again.

A story is told once for every action of its plan until there is none left: then every one had its turn. It ends with
all Pods serving, in one cluster, each disk with a member of its own, and no acknowledged write lost. From the moment
when a learner is added all ways back are one, so only that of the lost disk is told to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from peerboot.lab.client import ClientError
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.servers import VERSIONS, Server, find
from tests.etcd.damage import header_garbage
from tests.real.deaths import Deaths, Mortal
from tests.real.mortal import ENV, FAST, MORTAL
from tests.real.scenes import client, formed, healthy, own_id, writing
from tests.real.volumes import cut_first_start, cutting

pytestmark = pytest.mark.asyncio(loop_scope="module")

LABS = 4
"""At once: most of the time goes into etcd's own waits, which are seconds between two membership changes."""
CALM = dataclasses.replace(FAST, probe=0.25)
"""Pods wait long for their turn to join, and each probe is a program that is started."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def labs() -> AsyncIterator[list[Lab]]:
    """Labs with a cluster each, whose Pods can be told to die. Every story leaves all three members serving."""
    root = Path(tempfile.mkdtemp(prefix="pb-"))
    made = [Lab(mortal_spec(root / str(number), find(VERSIONS[-1]))) for number in range(LABS)]
    try:
        for lab in made:
            lab.pod_env = Mortal(lab).environment
        await asyncio.gather(*(formed(lab) for lab in made))
        yield made
    finally:
        await asyncio.gather(*(lab.stop() for lab in made))
        shutil.rmtree(root)


def mortal_spec(root: Path, server: Server) -> LabSpec:
    """A lab whose peerboots can be told to die."""
    env = {**ENV, "PEERBOOT_ETCD_CORRUPT_RECHECK": "300ms"}
    return LabSpec(root=root, server=server, peerboot=MORTAL, env=env, timing=CALM)


Begin = Callable[[], None]
Told = Callable[[Lab, int, Begin], Awaitable[None]]
"""A story: the lab, whose turn it is, and what to call when dying may begin."""


async def tell(labs: list[Lab], story: Told, deaths: Deaths) -> None:
    """Tell a story in several labs at once until all its actions were cut off."""

    async def one(lab: Lab) -> None:
        turn = 0
        while action := deaths.take():
            turn += 1
            await _round(lab, story, turn % 3, deaths, action)

    async with asyncio.TaskGroup() as group:
        for lab in labs:
            group.create_task(one(lab))


async def _round(lab: Lab, story: Told, ordinal: int, deaths: Deaths, action: str) -> None:
    """One Pod loses what it has and may die at one action; all others keep their ids, the cluster is the same.

    A learner is promoted by whoever is quicker, itself or the first voter: whoever does it dies at it.
    """
    mortal, name, other = Mortal(lab), lab.pod_name(ordinal), (ordinal + 1) % 3
    before, had = await healthy(lab, other), own_id(lab, ordinal)
    doomed = [ordinal, *(o for o in lab.ordinals if o != ordinal and action.startswith("promote"))]

    def begin() -> None:
        for o in doomed:
            # How often the others' processes have promoted somebody is another matter.
            mortal.choose(o, deaths.moment, action if o == ordinal else "promote")

    async with writing(lab):
        await story(lab, ordinal, begin)
        await _until_a_voter(lab, ordinal, had[1])
        died = [mortal.died(o) for o in doomed]
    after = await healthy(lab, other)
    assert [pod for pod in after if after[pod] != before[pod]] == [name]
    assert [own_id(lab, o) for o in lab.ordinals] == [(had[0], after[lab.pod_name(o)]) for o in lab.ordinals]
    deaths.note(action, any(died), mortal.seen(ordinal))


async def _until_a_voter(lab: Lab, ordinal: int, old: str) -> None:
    """The Pod serves as another member than it was, promoted, and nothing else is listed. A person consents to what it
    asks for, as often as it asks: a word dies with the process that it was said to.
    """
    other = (ordinal + 1) % 3

    async def there() -> bool:
        decision = await lab.decision(ordinal)
        if decision.get("kind") == "refuse" and (found := re.search(r"peerboot consent (\w+)", decision["reason"])):
            await lab.pods[ordinal].run("consent", found[1])
        try:
            async with client(lab, other) as asked:
                listed = await asked.members()
        except ClientError:
            return False
        if len(listed) != 3 or old in listed or any(row.get("isLearner") for row in listed.values()):
            return False
        return await lab.ready(ordinal)

    await lab.until(f"{lab.pod_name(ordinal)} is a new voter", there, 90)


ASIDE = ("moved the data aside #1", "gave the disk a new nonce #1")
JOINING = (
    "recorded that the server may run #1",
    "wrote etcd.yaml #1",
    "wrote etcd.yaml #2",
    "remembered cluster #1",
    "promote #1",
)
"""What every way back ends with; the first permit is withdrawn only when the server is slow."""
BORN = (
    "recorded birth #1",
    "recorded that the server may run #1",
    "wrote etcd.yaml #1",
    "wrote etcd.yaml #2",
    "remembered cluster #1",
)


# ------------------------------------------------------------------- forming


async def first_days(lab: Lab, *known: str, interrupted: bool) -> list[set[str]]:
    """One first day after the other: one Pod dies after an action, another before it, the third lives."""
    mortal, deaths = Mortal(lab), [Deaths("after", known, more=not interrupted), Deaths("before", known)]
    lab.pod_env = mortal.environment
    await lab.start(only=())
    turn = 0
    while True:
        actions = [death.take() for death in deaths]
        if actions == ["", ""]:
            return [death.left_out for death in deaths]
        turn += 1
        await asyncio.gather(*(lab.wipe(o, recreate=False) for o in lab.ordinals))
        if interrupted:
            await _cut_off(lab)
        said_before = {o: len(lab.log(o, "server")) for o in lab.ordinals}
        doomed = (turn % 3, (turn + 1) % 3)
        for ordinal, death, action in zip(doomed, deaths, actions, strict=True):
            mortal.choose(ordinal, death.moment, action)
        await asyncio.gather(*(lab.create(o) for o in lab.ordinals))
        listed = await healthy(lab)
        cluster = own_id(lab, 0)[0]
        assert [own_id(lab, o) for o in lab.ordinals] == [(cluster, listed[lab.pod_name(o)]) for o in lab.ordinals]
        said = "".join(lab.log(o, "server")[said_before[o] :] for o in lab.ordinals)
        assert set(re.findall(r'"cluster-id":"([0-9a-f]{3,})"', said)) == {cluster}
        for ordinal, death, action in zip(doomed, deaths, actions, strict=True):
            died = mortal.died(ordinal)
            if action:
                death.note(action, died, mortal.seen(ordinal))


async def _cut_off(lab: Lab) -> None:
    """All three are born, and each Pod loses its power right when its server has made its log."""
    cut_first_start(lab, *lab.ordinals)
    lab.spec = dataclasses.replace(lab.spec, timing=dataclasses.replace(FAST, restart=60.0))
    pods = await asyncio.gather(*(lab.create(o) for o in lab.ordinals))

    async def started() -> bool:
        return all(pod.server.starts for pod in pods)

    async def cut() -> bool:
        return all(pod.server.exits for pod in pods)

    await lab.until("all start", started)
    for ordinal in lab.ordinals:
        # Its power is lost before it looks at what the server has left.
        lab.kill(ordinal, "peerboot", signal.SIGSTOP)
    await lab.until("all first starts are cut off", cut)
    await asyncio.gather(*(lab.crash(o, recreate=False) for o in lab.ordinals))
    lab.spec = dataclasses.replace(lab.spec, timing=FAST)


async def test_forming() -> None:
    """Whichever action of its first day a peerboot dies at, one cluster forms."""
    async with a_lab(find(VERSIONS[-1])) as lab:
        assert await first_days(lab, *BORN, interrupted=False) == [set(), set()]


async def test_forming_again_after_an_interruption(tmp_path: Path) -> None:
    """All three first starts are cut off before anything is written, and peerboot dies at any action of what follows:
    what was begun goes aside, all are born anew, and one cluster forms.
    """
    async with a_lab(cutting(find(VERSIONS[-1]), tmp_path)) as lab:
        assert await first_days(lab, *ASIDE, *BORN[:2], interrupted=True) == [set(), set()]


@contextlib.asynccontextmanager
async def a_lab(server: Server) -> AsyncIterator[Lab]:
    """A lab of its own; a failure tells what every Pod said last."""
    root = Path(tempfile.mkdtemp(prefix="pb-"))
    lab = Lab(dataclasses.replace(mortal_spec(root / "lab", server), timing=FAST))
    try:
        yield lab
    except BaseException as error:
        error.add_note(lab.told())
        raise
    finally:
        await lab.stop()
        shutil.rmtree(root)


# ----------------------------------------------------------- ways back in


async def lost_disk(lab: Lab, ordinal: int, begin: Begin) -> None:
    """The volume was replaced by an empty one."""
    begin()
    await lab.wipe(ordinal)


async def removed(lab: Lab, ordinal: int, begin: Begin) -> None:
    """Somebody removes the member while its Pod is down."""
    old, other = own_id(lab, ordinal)[1], (ordinal + 1) % 3

    async def done() -> bool:
        try:
            async with client(lab, other) as asked:
                await asked.call("/v3/cluster/member/remove", {"ID": str(int(old, 16))})
        except ClientError as error:
            return "member not found" in str(error)
        return True

    await lab.crash(ordinal, recreate=False)
    await lab.until("etcd removes it", done)
    begin()
    await lab.create(ordinal)


async def corrupted(lab: Lab, ordinal: int, begin: Begin) -> None:
    """The log's first bytes are garbage when the Pod comes back."""
    await lab.crash(ordinal, recreate=False)
    header_garbage(lab.data_dir(ordinal))
    begin()
    await lab.create(ordinal)


async def cloned(lab: Lab, ordinal: int, begin: Begin) -> None:
    """The volume was replaced by a clone of another Pod's."""
    other = (ordinal + 1) % 3
    await asyncio.gather(lab.crash(ordinal, recreate=False), lab.crash(other, recreate=False))
    shutil.rmtree(lab.volume(ordinal))
    shutil.copytree(lab.volume(other), lab.volume(ordinal))
    await lab.create(other)
    await lab.until_ready(only=[other])
    begin()
    await lab.create(ordinal)


STORIES: dict[str, tuple[Told, str, tuple[str, ...]]] = {
    "lost-disk": (lost_disk, "after", ("remove #1", "add-learner #1", *JOINING)),
    "lost-disk-between": (lost_disk, "between", ("remove", "add-learner", "promote")),
    "removed-by-hand": (removed, "after", (*ASIDE, "add-learner #1")),
    "corrupt": (corrupted, "after", (*ASIDE, "remove #1", "add-learner #1")),
    "foreign-volume": (cloned, "after", (*ASIDE, "used consent #1", "remove #1", "add-learner #1")),
}


@pytest.mark.parametrize("name", STORIES)
async def test_a_way_back(labs: list[Lab], name: str) -> None:
    """Whichever action a peerboot dies at that brings a Pod back, what data there was is kept, and it joins as one new
    member; also between an admin call and its being written down.
    """
    story, moment, known = STORIES[name]
    deaths = Deaths(moment, known, more=name == "lost-disk")
    await tell(labs, story, deaths)
    assert deaths.left_out == set()
