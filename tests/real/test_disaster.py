"""A majority of the disks is gone for good, and a person consents to go on with the best one that is left."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import VERSIONS, Server, find
from peerboot.systems.etcd import datadir
from tests.real.deaths import Mortal
from tests.real.mortal import ENV, FAST, MORTAL
from tests.real.scenes import MakeLab, aside, consent_in, did, formed, healthy, ids, missing, own_id, stays, writing

COPY = "member.before-force-*"


async def test_what_is_left_goes_on_by_a_persons_word(make_lab: MakeLab, every_etcd: Server) -> None:
    """Two of three disks are lost. The third says who has what; a person consents and restarts its Pod: it has its
    data, its member and its cluster as before, a copy of what it was lies beside it, and the others join it. Restarted
    again it is one of three.
    """
    async with make_lab(every_etcd, timing=FAST) as lab:
        await formed(lab)
        before, own = await ids(lab), own_id(lab, 0)
        async with writing(lab) as writer:
            pass
        await asyncio.gather(lab.wipe(1), lab.wipe(2))
        reason = str((await lab.until_rule(0, "quorum-lost"))["reason"])
        assert re.findall(
            r"Left: db-0: up to term \d+, index \d+, last written [-\d]+ [:\d]+Z\. Gone: (.*)\.", reason
        ) == ["db-1 (blank), db-2 (blank)"]
        await _named_by_the_blank_ones(lab)
        await _consent(lab, 0, reason)
        assert "restart this Pod (`kubectl delete pod db-0`)" in str((await lab.until_rule(0, "forced"))["reason"])
        await lab.delete(0)
        after = await healthy(lab)
        assert (after["db-0"], before["db-1"] in after.values(), before["db-2"] in after.values()) == (
            before["db-0"], False, False,
        )  # fmt: skip
        assert [own_id(lab, 0), await missing(writer, lab, 0), await missing(writer, lab, 2)] == [own, [], []]
        (copy,) = lab.data_dir(0).glob(COPY)
        assert _ends(copy) == _left_in(reason, 0)
        await lab.delete(0)
        assert await healthy(lab, 1) == after
        assert did(lab, 0, "copied the data") == 1


async def test_the_one_that_has_most_is_the_one_that_may(make_lab: MakeLab, etcd: Server) -> None:
    """Three of five disks are lost. Of the two that are left one was down while writes went on: it names the other one
    and offers nothing itself. By consent at that one nothing that was acknowledged is missing, and the one that lagged
    sets its data aside and joins.
    """
    async with make_lab(etcd, replicas=5, timing=FAST) as lab:
        await formed(lab)
        before = await ids(lab)
        await lab.crash(0, recreate=False)
        async with writing(lab) as writer:
            pass
        assert await missing(writer, lab, 1) == []
        await asyncio.gather(*(lab.wipe(ordinal) for ordinal in (2, 3, 4)))
        await lab.create(0)
        await lab.until("the other one is named", partial(_says, lab, 0, "db-1, which has most, says how"))
        assert "consent" not in str((await lab.decision(0))["reason"])
        await lab.until("that one offers it", partial(_says, lab, 1, "peerboot consent"))
        reason = str((await lab.decision(1))["reason"])
        assert _left_in(reason, 1) > _left_in(reason, 0)
        await _consent(lab, 1, reason)
        await lab.until_rule(1, "forced")
        await lab.delete(1)
        after = await healthy(lab, 1, voters=5)
        assert [after[name] == before[name] for name in sorted(after)] == [False, True, False, False, False]
        assert len(aside(lab, 0)) == 1
        assert [await missing(writer, lab, ordinal) for ordinal in lab.ordinals] == [[]] * 5


async def test_a_lost_volume_that_comes_back_ends_the_word(make_lab: MakeLab, etcd: Server) -> None:
    """A person consented, and then found a lost volume after all. With it the cluster has its quorum: nobody is
    dropped, no copy is made.
    """
    async with make_lab(etcd, timing=FAST) as lab:
        await formed(lab)
        before = await ids(lab)
        async with writing(lab) as writer:
            pass
        kept = lab.volume(1).with_name("kept")
        await lab.delete(1, recreate=False)
        lab.volume(1).rename(kept)
        await asyncio.gather(lab.create(1), lab.wipe(2))
        await _consent(lab, 0, str((await lab.until_rule(0, "quorum-lost"))["reason"]))
        await lab.until_rule(0, "forced")
        await lab.delete(1, recreate=False)
        lab.volume(1).rename(lab.volume(1).with_name("blank"))
        kept.rename(lab.volume(1))
        await asyncio.gather(lab.create(1), lab.delete(0))
        after = await healthy(lab)
        assert [after[name] == before[name] for name in sorted(after)] == [True, True, False]
        assert list(lab.data_dir(0).glob(COPY)) == []
        assert await missing(writer, lab, 0) == []


async def test_a_silent_pod_is_waited_for(make_lab: MakeLab, etcd: Server) -> None:
    """One of the two others is not there, so its disk may have data: nothing is offered, and it is named."""
    async with make_lab(etcd, timing=FAST) as lab:
        await formed(lab)
        await asyncio.gather(lab.wipe(1), lab.delete(2, recreate=False))
        await lab.until("it names who is silent", partial(_says, lab, 0, "Not known: db-2 ("))
        await stays(lab, 0, "own-data")
        assert "consent" not in str((await lab.decision(0))["reason"])


async def test_a_snapshot_is_restored_onto_one_volume(
    make_lab: MakeLab, plain_etcd: Server, short_root: Path, tmp_path: Path
) -> None:
    """All disks are lost. What `peerboot etcd restore` prints, run by etcdutl in the Pod of docs/recovery.md, makes a
    cluster with another id and a birth of its own, which the others join, with all that the snapshot had.
    """
    # Addresses: etcdutl looks names up, and a lab has no /etc/hosts of its own to put them in.
    env = {"PEERBOOT_ANCHOR": f"file:{short_root}/anchor.json"}
    async with make_lab(plain_etcd, timing=FAST, names=False, env=env) as lab:
        await formed(lab)
        old = own_id(lab, 0)
        async with writing(lab) as writer:
            pass
        snapshot = tmp_path / "snapshot.db"
        await _tool("etcdctl", f"--endpoints={lab.client_url(0)}", "snapshot", "save", str(snapshot))
        await asyncio.gather(*(lab.wipe(ordinal) for ordinal in lab.ordinals))
        await lab.until_rule(0, "anchor-forbids")
        asked = await lab.pods[0].run("etcd", "restore", "--json")
        told = json.loads(asked.stdout)
        await asyncio.gather(*(lab.delete(ordinal, recreate=False) for ordinal in lab.ordinals))
        await _tool(*_as_the_page_has_it(lab, told, snapshot))
        await asyncio.gather(*(lab.create(ordinal) for ordinal in lab.ordinals))
        await healthy(lab)
        assert [own_id(lab, ordinal)[0] for ordinal in lab.ordinals] == [told["cluster"]] * 3
        assert told["cluster"] != old[0]
        assert [await missing(writer, lab, ordinal) for ordinal in lab.ordinals] == [[]] * 3
        state = json.loads((lab.volume(0) / ".peerboot/state.json").read_text())
        assert (state["birth"]["token"], list(state["birth"]["members"])) == (told["token"], ["db-0"])
        # Nobody restores over what is there.
        again = await lab.pods[1].run("etcd", "restore")
        said = "what is restored here would be a second one" in again.stderr
        assert (again.returncode, said) == (5, True)


async def _tool(*command: str) -> None:
    """One of etcd's own tools, of the wheel."""
    path = find("3.5").path.with_name(command[0])

    def run() -> subprocess.CompletedProcess[str]:
        words, env = [str(path), *command[1:]], {"ETCDCTL_API": "3"}
        return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - ours

    done = await asyncio.to_thread(run)
    assert done.returncode == 0, done.stderr


def _as_the_page_has_it(lab: Lab, told: Mapping[str, Any], snapshot: Path) -> list[str]:
    """The command of docs/recovery.md's Pod with this lab's names; it is what was printed, word for word."""
    page = (Path(__file__).parents[2] / "docs/recovery.md").read_text()
    pods = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    (pod,) = [pod for pod in pods if pod["metadata"]["name"] == "etcd-restore"]
    url = next(word.partition("=")[2] for word in told["command"] if word.startswith("--initial-advertise"))
    words = {
        "http://etcd-0.etcd-peers.shop.svc.cluster.local:2380": url,
        "/data/snapshot.db": "SNAPSHOT",
        "/data/etcd": str(lab.data_dir(0)),
        "etcd-0": "db-0",
        "$TOKEN": told["token"],
    }
    command = pod["spec"]["containers"][0]["command"]
    for old, new in words.items():
        command = [word.replace(old, new) for word in command]
    assert command == told["command"]
    return [str(snapshot) if word == "SNAPSHOT" else word for word in command]


ACTIONS = (
    "recorded that this disk becomes a cluster of one: a copy of it comes first #1",
    "copied the data #1",
    "recorded that this disk becomes a cluster of one: there is a copy of it #1",
    "had all that its log holds count as committed #1",
    "recorded that this disk becomes a cluster of one: its server may do it #1",
    "wrote etcd.yaml #1",
    "ended the word that this disk becomes a cluster of one #1",
)


@pytest.mark.parametrize("actions", [ACTIONS[:4], ACTIONS[4:]], ids=["before-it-may-start", "from-there-on"])
async def test_killed_at_each_action(make_lab: MakeLab, actions: tuple[str, ...]) -> None:
    """peerboot dies right after an action of the way back, and all comes out the same: a lab for each action."""
    async with asyncio.TaskGroup() as group:
        for action in actions:
            group.create_task(_killed_after(make_lab, action))


async def _killed_after(make_lab: MakeLab, action: str) -> None:
    async with make_lab(find(VERSIONS[-1]), timing=FAST, peerboot=MORTAL, env=ENV) as lab:
        mortal = Mortal(lab)
        lab.pod_env = mortal.environment
        await formed(lab)
        before = await ids(lab)
        async with writing(lab) as writer:
            pass
        await asyncio.gather(lab.wipe(1), lab.wipe(2))
        reason = str((await lab.until_rule(0, "quorum-lost"))["reason"])
        first = action == ACTIONS[0]
        if first:
            mortal.choose(0, "after", action)
        await _consent(lab, 0, reason)
        await lab.until_rule(0, "forced")
        if not first:
            mortal.choose(0, "after", action)
        await lab.delete(0)
        after = await healthy(lab)
        assert (action, mortal.died(0)) == (action, True)
        assert [after[name] == before[name] for name in sorted(after)] == [True, False, False]
        assert [await missing(writer, lab, ordinal) for ordinal in lab.ordinals] == [[]] * 3
        assert len(list(lab.data_dir(0).glob(COPY))) == 1


def _left_in(reason: str, ordinal: int) -> tuple[int, int]:
    found = re.search(rf"db-{ordinal}: up to term (\d+), index (\d+)", reason)
    assert found is not None, reason
    return int(found[1]), int(found[2])


def _ends(copy: Path) -> tuple[int, int]:
    disk = datadir.read(copy, copy / "wal")
    return disk.term, disk.index


async def _says(lab: Lab, ordinal: int, words: str) -> bool:
    return words in str((await lab.decision(ordinal)).get("reason", ""))


async def _named_by_the_blank_ones(lab: Lab) -> None:
    for ordinal in (1, 2):
        await lab.until(
            "the blank ones say where", partial(_says, lab, ordinal, "a person makes db-0 a cluster of one")
        )


async def _consent(lab: Lab, ordinal: int, reason: str) -> None:
    done = await lab.pods[ordinal].run("consent", consent_in(reason))
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "Allowed, once, on this evidence: quorum-lost.")
