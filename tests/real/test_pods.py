"""Pods as things that are killed, doubled and misled: their containers alone, two of one name, another peer URL."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from functools import partial

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.pod import Pod
from peerboot.lab.servers import Server
from tests.real.mortal import FAST
from tests.real.scenes import MakeLab, decided, did, formed, healthy, ids, members, own_id, stays, writing


def changes(lab: Lab) -> dict[str, int]:
    """How many membership calls each Pod has made."""
    calls = ("add-learner", "promote", "remove", "update-peer-urls")
    return {f"{o} {call}": count for o in lab.ordinals for call in calls if (count := did(lab, o, f"{call} "))}


async def test_killed_while_forming_and_while_serving(make_lab: MakeLab, etcd: Server) -> None:
    """Killed as soon as it is born, peerboot goes on with its birth; killed in a healthy set, it finds its server
    serving, which does not notice; and a killed server is restarted without asking, by the permit that lies there.
    """
    async with make_lab(etcd, timing=FAST) as lab:
        await lab.start()
        await asyncio.gather(*(_kill_once_born(lab, ordinal) for ordinal in lab.ordinals))
        before = await healthy(lab)
        assert len({own_id(lab, o) for o in lab.ordinals}) == 3
        assert [decided(lab, o).count("renew/renew") for o in lab.ordinals] == [0, 0, 0]

        pids = [pod.server.pid for pod in lab.pods.values()]
        for ordinal in lab.ordinals:
            lab.kill(ordinal, "peerboot")
            await lab.until("peerboot is started again", partial(_sidecar_started, lab, ordinal, 3))
            await lab.until_rule(ordinal, "serving")
        assert [pod.server.pid for pod in lab.pods.values()] == pids

        async with writing(lab):
            for times, ordinal in ((2, 1), (3, 1), (2, 2)):
                lab.kill(ordinal, "server")
                await lab.until("the server is started again", partial(_server_started, lab, ordinal, times))
                await lab.until_ready()
        assert (await healthy(lab), changes(lab)) == (before, {})
        assert [pod.sidecar.starts for pod in lab.pods.values()] == [3, 3, 3]


async def _kill_once_born(lab: Lab, ordinal: int) -> None:
    """SIGKILL as soon as the birth is on the disk."""
    state = lab.volume(ordinal) / ".peerboot" / "state.json"
    async with asyncio.timeout(30):
        # A file can only be looked at again and again.
        while not (state.exists() and json.loads(state.read_text()).get("birth")):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    lab.kill(ordinal, "peerboot")
    await lab.until("peerboot is started again", partial(_sidecar_started, lab, ordinal, 2))


async def _sidecar_started(lab: Lab, ordinal: int, times: int) -> bool:
    return lab.pods[ordinal].sidecar.starts >= times


async def _server_started(lab: Lab, ordinal: int, times: int) -> bool:
    pod = lab.pods[ordinal]
    return pod.server.starts >= times and pod.server.pid is not None


@pytest.mark.row(17)
async def test_peer_address_change(make_lab: MakeLab, etcd: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where URLs hold addresses, a Pod with another one than the cluster lists updates its own entry, and stays the
    same member.
    """
    async with make_lab(etcd, names=False, timing=FAST) as lab:
        await formed(lab)
        before, fixed = await ids(lab), lab.network.fixed
        host = lab.network.peer_host.replace(".1{", ".2{")
        monkeypatch.setattr(
            lab.network, "fixed", lambda ordinal: host.format(ordinal=1) if ordinal == 1 else fixed(ordinal)
        )
        lab.pod_env[1] = {"PEERBOOT_ETCD_PEER_HOST": host}
        async with writing(lab):
            await lab.crash(1)
            await lab.until("db-1 has updated its entry", lambda: _listed_at(lab, host.format(ordinal=1)))
            await lab.until_ready()
        assert await healthy(lab) == before
        assert changes(lab) == {"1 update-peer-urls": 1}


async def _listed_at(lab: Lab, address: str) -> bool:
    urls = [row["peerURLs"] for row in (await members(lab)).values() if row.get("name") == "db-1"]
    return urls == [[f"http://{address}:2380"]]


async def test_last_words(make_lab: MakeLab, etcd: Server) -> None:
    """An init that refuses leaves with 5 and its reason in the termination log, and succeeds when the volume is right;
    a sidecar that got SIGTERM leaves with 0 and the decision in force. No membership changes by either.
    """
    async with make_lab(etcd, style="init", timing=FAST) as lab:
        await formed(lab)
        before, old = await ids(lab), lab.pods[2]
        await lab.delete(2, recreate=False)
        assert old.termination_log.read_text().startswith(("idle (serving): Member ", "resume (own-data): "))
        assert [exit_.code for exit_ in old.sidecar.exits] == [0]

        state = lab.volume(2) / ".peerboot" / "state.json"
        right = state.read_text()
        state.write_text(right.replace('"db-2"', '"db-7"', 1))
        pod = await lab.create(2)
        await lab.until("init refuses", partial(_init_exits, pod, 1))
        assert (pod.init.exits[0].code, pod.server.starts) == (5, 0)
        said = pod.termination_log.read_text()
        assert ("belongs to etcd pod lab/db-7" in said, "peerboot consent" in said) == (True, True)
        state.write_text(right)
        assert (await healthy(lab), changes(lab)) == (before, {})


async def _init_exits(pod: Pod, number: int) -> bool:
    return len(pod.init.exits) >= number


async def test_quorum_lost_under_a_member(make_lab: MakeLab, etcd: Server) -> None:
    """Two of three go away while the third serves: that says that there is no quorum, is alive but not ready, and
    changes nothing; its server runs on, and with one of the two back all is as it was.
    """
    async with make_lab(etcd, timing=FAST) as lab:
        await formed(lab)
        before = await ids(lab)
        await asyncio.gather(lab.crash(1, recreate=False), lab.crash(2, recreate=False))
        await lab.until("db-0 says so", lambda: _says(lab, 0, "have no quorum now"))
        await stays(lab, 0, "own-data")
        assert ((await lab.pods[0].get("/readyz"))[0], (await lab.pods[0].get("/livez"))[0]) == (503, 200)
        assert (lab.pods[0].server.exits, changes(lab)) == ([], {})
        await lab.create(1)
        await lab.until_ready(only=(0, 1))
        await lab.create(2)
        assert (await healthy(lab), changes(lab)) == (before, {})


async def _says(lab: Lab, ordinal: int, words: str) -> bool:
    # Whoever asks for readiness makes it look at once; at rest it would look only every ten seconds.
    return not await lab.ready(ordinal) and words in str((await lab.decision(ordinal)).get("reason", ""))


# -------------------------------------------------------- two of one name


async def test_forced_deletion_on_one_volume(make_lab: MakeLab, etcd: Server) -> None:
    """A Pod that was deleted by force runs on while its successor starts on the same volume: the successor waits until
    the server that holds the lock is gone, and is the same member.
    """
    async with make_lab(etcd, timing=dataclasses.replace(FAST, force_term=8.0)) as lab:
        await formed(lab)
        before, old = await ids(lab), lab.pods[1]
        async with writing(lab):
            await lab.delete(1, force=True)
            await lab.until_rule(1, "volume-in-use", "second-holder")
            assert (lab.pods[1].server.starts, old.server.pid is None) == (0, False)
            await lab.until("the old Pod is gone", lambda: _gone(old))
            await lab.until_ready()
        assert (await healthy(lab), changes(lab)) == (before, {})


async def _gone(pod: Pod) -> bool:
    return pod.phase == "gone"


@contextlib.asynccontextmanager
async def twin_of(lab: Lab, ordinal: int) -> AsyncIterator[Pod]:
    """A second Pod of that name, with a blank volume of its own, listed in DNS beside the first."""
    spec = await lab.pod_spec(ordinal)
    volume = lab.spec.root / "volumes" / f"{spec.name}-twin"
    env = {"PEERBOOT_DATA_DIR": f"{volume}/etcd", "PEERBOOT_STATE_DIR": f"{volume}/.peerboot"}
    twin = Pod(
        dataclasses.replace(
            spec,
            volume=volume,
            env={**spec.env, **env},
            publish=lambda: lab.dns.publish(spec.name, [spec.address], key=spec.uid),
            withdraw=lambda: lab.dns.withdraw(spec.name, key=spec.uid),
        )
    )
    try:
        twin.start()
        yield twin
    finally:
        await twin.crash()


async def test_a_twin_with_a_blank_disk(make_lab: MakeLab, etcd: Server) -> None:
    """A second Pod of one name, with another volume, waits for as long as the first answers under that name: it does
    not replace the member whose disk it does not have.
    """
    async with make_lab(etcd, timing=FAST) as lab:
        await formed(lab)
        before = await ids(lab)
        async with writing(lab):
            async with twin_of(lab, 1) as twin:
                await lab.until("it says so", lambda: _waits(twin, "wait (second-holder)"))
                end = asyncio.get_running_loop().time() + 3.0
                while asyncio.get_running_loop().time() < end:
                    assert (twin.server.starts, await ids(lab)) == (0, before)
                    await asyncio.sleep(0.2)
            assert [len(pod.server.exits) for pod in lab.pods.values()] == [0, 0, 0]
        assert (await healthy(lab), changes(lab)) == (before, {})


async def _waits(pod: Pod, words: str) -> bool:
    return pod.sentence().startswith(words)


async def test_a_crash_that_is_cut_off_leaves_nothing(make_lab: MakeLab, etcd: Server) -> None:
    """Ctrl-C comes while a Pod is being killed: the end of the lab kills it all the same, and closes what it held."""
    async with make_lab(etcd, timing=FAST) as lab:
        await formed(lab)
        pod = lab.pods[1]
        crash = asyncio.create_task(lab.crash(1))
        await asyncio.sleep(0)
        crash.cancel()
        await asyncio.gather(crash, return_exceptions=True)
        assert (1 in lab.pods, pod.phase) == (False, "stopping")
    assert (pod.phase, pod._http._session) == ("gone", None)
