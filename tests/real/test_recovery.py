"""A majority of the disks is gone for good: what docs/recovery.md tells a person to do, done."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path

import yaml

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from peerboot.outside.http import Http, HttpError
from tests.real.mortal import FAST
from tests.real.scenes import MakeLab, formed, healthy, ids, missing, own_id, stays, writing


async def test_what_is_left_becomes_a_cluster_of_one(make_lab: MakeLab, etcd: Server) -> None:
    """Two of three disks are lost: the blank Pods wait and name the page. A person does what docs/recovery.md says, and
    the third has its data, its member and its cluster as before; the others join it.
    """
    async with make_lab(etcd, timing=FAST) as lab:
        await formed(lab)
        before, own = await ids(lab), own_id(lab, 0)
        async with writing(lab) as writer:
            pass
        assert await missing(writer, lab, 0) == []
        await asyncio.gather(lab.wipe(1), lab.wipe(2))
        await lab.until("they name the page", lambda: _names(lab, 1, "docs/recovery.md"))
        await stays(lab, 2, "cluster-exists")
        await asyncio.gather(*(lab.delete(ordinal, recreate=False) for ordinal in lab.ordinals))
        await _forced(lab, etcd, 0)
        assert own_id(lab, 0) == own
        await asyncio.gather(*(lab.create(ordinal) for ordinal in lab.ordinals))
        after = await healthy(lab)
        assert (after["db-0"], before["db-1"] in after.values(), before["db-2"] in after.values()) == (
            before["db-0"], False, False,
        )  # fmt: skip
        assert own_id(lab, 0) == own
        assert [await missing(writer, lab, ordinal) for ordinal in lab.ordinals] == [[], [], []]


async def test_of_two_disks_that_are_left_the_one_with_more_is_known(make_lab: MakeLab, etcd: Server) -> None:
    """Three of five disks are lost. Of the two that are left one was down while writes went on: both say where their
    logs end although no etcd answers, and from the longer one nothing is missing.
    """
    async with make_lab(etcd, replicas=5, timing=FAST) as lab:
        await formed(lab)
        before = await ids(lab)
        await lab.crash(0, recreate=False)
        async with writing(lab) as writer:
            pass
        # Three of the four that run acknowledge a write; what the fourth, which may be any, lacks would be lost.
        assert await missing(writer, lab, 1) == []
        await asyncio.gather(*(lab.wipe(ordinal) for ordinal in (2, 3, 4)))
        await asyncio.gather(lab.create(0), lab.crash(1))
        for ordinal in (0, 1):
            await lab.until("it says where its log ends", partial(_says_its_end, lab, ordinal))
        ends = {ordinal: await _log_end(lab, ordinal) for ordinal in (0, 1)}
        assert max(ends, key=lambda ordinal: ends[ordinal]) == 1
        await asyncio.gather(*(lab.delete(ordinal, recreate=False) for ordinal in lab.ordinals))
        await _forced(lab, etcd, 1)
        await asyncio.gather(*(lab.create(ordinal) for ordinal in lab.ordinals))
        assert (await healthy(lab, 1, voters=5))["db-1"] == before["db-1"]
        assert [await missing(writer, lab, ordinal) for ordinal in lab.ordinals] == [[]] * 5


async def _says_its_end(lab: Lab, ordinal: int) -> bool:
    return bool(await _log_end(lab, ordinal))


async def _log_end(lab: Lab, ordinal: int) -> tuple[int, ...]:
    """Term and index as ``peerboot status`` prints them; empty while it does not."""
    found = re.search(r"ends with term (\d+), index (\d+)", (await lab.pods[ordinal].run("status")).stdout)
    return tuple(int(number) for number in found.groups()) if found else ()


async def _names(lab: Lab, ordinal: int, words: str) -> bool:
    return words in str((await lab.decision(ordinal)).get("reason", ""))


async def _forced(lab: Lab, etcd: Server, ordinal: int) -> None:
    """etcd with the arguments of docs/recovery.md, on a Pod's volume and loopback addresses, until it has a leader."""
    page = (Path(__file__).parents[2] / "docs/recovery.md").read_text()
    texts = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    (pod,) = [text for text in texts if text["metadata"]["name"] == "etcd-recover"]
    name, *args = pod["spec"]["containers"][0]["command"]
    host = lab.network.fixed(ordinal)
    args = [
        arg.replace("/data/etcd", str(lab.data_dir(ordinal))).replace("127.0.0.1", host).replace("0.0.0.0", host)  # noqa: S104 - replaced
        for arg in args
    ]
    process = await asyncio.create_subprocess_exec(
        etcd.path, *args, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        http = Http()
        try:
            await lab.until("etcd is a cluster of one", lambda: _has_leader(http, f"http://{host}:2381/health"))
        finally:
            await http.close()
    finally:
        process.terminate()
        await process.wait()
    assert (name, "--force-new-cluster" in args) == ("etcd", True)


async def _has_leader(http: Http, url: str) -> bool:
    try:
        return (await http.fetch("GET", url, timeout=1.0)).status == 200
    except HttpError:
        return False
