"""Updates: etcd from release to release Pod by Pod, what is known to go wrong on the way, and two versions of peerboot
in one set. What each test shows is in docs/etcd-upgrade.md too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import LATE, find
from tests.goldens import programs
from tests.real.scenes import MakeLab, aside, did, formed, healthy, ids, writing

STEPS = {"3.4-to-3.5": ("3.4", "3.5"), "3.5-to-3.6": (LATE, "3.6")}


async def status(lab: Lab, ordinal: int) -> Mapping[str, Any]:
    """``peerboot status --json`` in one Pod; empty while its peerboot starts."""
    done = await lab.pods[ordinal].run("status", "--json")
    found: Mapping[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


async def roll(lab: Lab, version: str, ordinals: Iterable[int] = (2, 1, 0)) -> None:
    """Give Pods the image of a release as a roll-out does: one by one, each when all are Ready."""
    for ordinal in ordinals:
        lab.pod_server[ordinal] = find(version)
        await lab.delete(ordinal, grace=10)
        await lab.until_ready(90)


async def until_told(lab: Lab, ordinal: int, *words: str) -> None:
    """Until ``status`` of a Pod has all these words in its notes or in the line on versions."""

    async def told() -> bool:
        found = await status(lab, ordinal)
        said = " ".join([*found.get("notes", ()), (found.get("release") or {}).get("say", "")])
        return all(word in said for word in words)

    await lab.until(f"db-{ordinal} says {words}", told, 120)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_rolling_update(make_lab: MakeLab, step: tuple[str, str]) -> None:
    """Pod by Pod to the next minor release, with a writer and two lost disks in the mixed set, of a Pod that was
    updated and of one that was not: no write is missing, whoever kept its disk keeps its id, and status says what runs
    and what is next. After it the former release does not start any more, which is named, and nobody is harmed by it.
    """
    before, after = step
    async with make_lab(find(before)) as lab, writing(await formed(lab)):
        old = await healthy(lab)
        await roll(lab, after, [2])
        await until_told(lab, 0, f"etcd {find(before).version} on db-0 and db-1, {find(after).version} on db-2", "next")
        for lost in (2, 0):
            await lab.wipe(lost)
            await lab.until_ready(90)
        mixed = await healthy(lab)
        assert (mixed["db-1"], mixed["db-0"] != old["db-0"], mixed["db-2"] != old["db-2"]) == (old["db-1"], True, True)
        await roll(lab, after, (1, 0))
        assert await healthy(lab) == mixed
        minor = ".".join(find(after).version.split(".")[:2])
        await until_told(lab, 1, f"etcd {find(after).version} on all 3", f"the cluster's version is {minor}")

        lab.pod_server[1] = find(before)
        await lab.delete(1, grace=10)
        await until_told(lab, 1, "The server of db-1 does not come up.", f"The cluster's version is {minor}")
        await roll(lab, after, [1])
        assert await healthy(lab) == mixed


async def test_promotions_that_were_not_written(make_lab: MakeLab) -> None:
    """etcd 3.5.1 leaves whoever was promoted a learner in its database, and with two such 3.6 does not start. It is
    named before and when it bites; a later 3.5 on all Pods, and one more restart of each member, mends it.
    """
    async with make_lab(find("3.5")) as lab, writing(await formed(lab)):
        for lost in (2, 1):
            await lab.wipe(lost)
            await lab.until_ready(90)
        members = await healthy(lab)
        await until_told(lab, 0, "etcd 3.5.1 of db-0", "go to 3.5.26 or later", "The database of db-0 still has")
        lab.pod_server[0] = find("3.6")
        await lab.delete(0, grace=10)
        await until_told(lab, 0, "The server of db-0 does not come up. Its database has 2 learners")
        assert "too many learner members in cluster" in lab.log(0, "server")
        await roll(lab, LATE, (0, 2, 1))
        # Who came last has not heard the start of those before.
        await until_told(lab, 1, "The database of db-1 still has", "restart db-2")
        await roll(lab, LATE, [2])
        await roll(lab, "3.6")
        await until_told(lab, 0, "on all 3", "next: 3.7")
        assert await healthy(lab) == members


async def test_a_minor_release_is_not_skipped(make_lab: MakeLab) -> None:
    """A blank 3.6 would end a cluster of 3.4: "panic: not implemented" in every server, at each start again. Where
    peerboot was told the release of the image it is refused, with its data too (a 3.6 that started with that of a
    young 3.4 ended the others as well), and the cluster serves on.
    """
    async with make_lab(find("3.4")) as lab, writing(await formed(lab)):
        before = await healthy(lab)
        lab.pod_server[2], lab.pod_env[2] = find("3.6"), {"PEERBOOT_ETCD_VERSION": "3.6.16"}
        await lab.delete(2, grace=10)
        decision = await lab.until_rule(2, "unmanaged-cluster")
        assert "go to 3.5 first, on all Pods" in decision["reason"]
        await lab.wipe(2)
        await lab.until_rule(2, "unmanaged-cluster")
        assert lab.pods[2].server.starts == len(lab.pods[2].server.exits)
        assert await ids(lab) == before
        del lab.pod_env[2]
        await roll(lab, "3.5", [2])
        after = await healthy(lab)
        assert {pod: after[pod] for pod in ("db-0", "db-1")} == {pod: before[pod] for pod in ("db-0", "db-1")}
        assert [len(aside(lab, o)) for o in lab.ordinals] == [0, 0, 0]


async def test_the_way_out_of_a_skipped_release(make_lab: MakeLab) -> None:
    """Where peerboot was not told, a blank 3.6 ends a cluster of 3.4. With 3.5 on all Pods it serves again, with every
    acknowledged write and all members.
    """
    async with make_lab(find("3.4")) as lab, writing(await formed(lab)):
        before = await healthy(lab)
        await lab.wipe(2, recreate=False)
        lab.pod_server[2] = find("3.6")
        await lab.create(2)

        async def over() -> bool:
            return all("panic: not implemented" in lab.log(ordinal, "server") for ordinal in (0, 1))

        await lab.until("both servers of 3.4 panic", over)
        for ordinal in lab.ordinals:
            lab.pod_server[ordinal] = find(LATE)
        await asyncio.gather(*(lab.delete(ordinal, grace=5) for ordinal in lab.ordinals))
        after = await healthy(lab)
        assert {pod: after[pod] for pod in ("db-0", "db-1")} == {pod: before[pod] for pod in ("db-0", "db-1")}


OTHERS = {"former-release": programs.former, "next-release": programs.following}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
async def test_two_versions_of_peerboot(make_lab: MakeLab, other: programs.Maker, tmp_path: Path) -> None:
    """A set of another release of peerboot goes to this one Pod by Pod and back again, with a writer, and a disk that
    is lost while versions differ, of either: one cluster, no write is missing, whoever kept its disk keeps its id, and
    status names who has which version.
    """
    program = other(tmp_path)
    async with make_lab(find("3.6")) as lab:
        for ordinal in lab.ordinals:
            lab.pod_env[ordinal] = program.env
        async with writing(await formed(lab)):
            first = await healthy(lab)
            await restart(lab, 2, None)
            await until_told(lab, 2, "Versions of peerboot differ", f"{program.version} on db-0 and db-1")
            await lab.wipe(2)
            await lab.until_ready(90)
            await lab.wipe(1)
            await lab.until_ready(90)
            mixed = await healthy(lab)
            assert mixed["db-0"] == first["db-0"]
            for ordinal in (1, 0):
                await restart(lab, ordinal, None)
            assert await healthy(lab) == mixed
            for ordinal in (2, 1, 0):
                await restart(lab, ordinal, program)
            assert await healthy(lab) == mixed
            # A disk's own nonce and the cluster it belongs to were read by each in turn: nobody was added for that.
            assert [did(lab, o, "add-learner") for o in lab.ordinals] == [0, 1, 1]


async def restart(lab: Lab, ordinal: int, program: programs.Program | None) -> None:
    """The next Pod of that ordinal has another peerboot; None: the present one."""
    lab.pod_env[ordinal] = program.env if program is not None else {}
    await lab.delete(ordinal, grace=10)
    await lab.until_ready(90)
