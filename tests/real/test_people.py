"""People's words by the real commands: hold and resume, remove, observe; and a cluster older than peerboot."""

from __future__ import annotations

import pytest

from peerboot.lab.cluster import CLIENT_PORT, Lab
from peerboot.lab.servers import Server
from peerboot.outside.files import write_whole
from tests.real.scenes import (
    MakeLab,
    aside,
    did,
    formed,
    healthy,
    ids,
    stays,
    url_of,
    writing,
)


async def said(lab: Lab, ordinal: int, *args: str) -> str:
    """What a command prints that has to succeed."""
    done = await lab.pods[ordinal].run(*args)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


async def test_hold_and_resume(etcd: Server, make_lab: MakeLab) -> None:
    """A hold of the set spreads, outlives Pods, keeps a lost disk waiting, and lets data start; resume ends it."""
    async with make_lab(etcd) as lab:
        before = await healthy(await formed(lab))
        assert "held" in await said(lab, 0, "hold", "--all", "--for", "10m", "--why", "node upgrade")
        await lab.wipe(2)
        held = await lab.until_rule(2, "held")
        assert "node upgrade" in held["reason"]
        await lab.delete(1, grace=10)
        await lab.until_ready(60, only=(0, 1))
        await stays(lab, 2, "held")
        assert await ids(lab) == before
        await said(lab, 2, "resume", "--all")
        assert (await healthy(lab))["db-2"] != before["db-2"]


async def test_remove_by_word(etcd: Server, make_lab: MakeLab) -> None:
    """``remove`` shows its plan first, then the member goes; its Pod, when it is back, joins as a new one."""
    async with make_lab(etcd) as lab:
        before = await healthy(await formed(lab))
        await lab.crash(2, recreate=False)
        assert f"remove member {before['db-2']}" in await said(lab, 0, "remove", "db-2")
        assert await ids(lab) == before
        await said(lab, 0, "remove", "db-2", "--yes")
        await lab.until("it is removed", lambda: _gone(lab, before["db-2"]))
        await lab.create(2)
        after = await healthy(lab)
        assert after.pop("db-2") != before.pop("db-2")
        assert (after, len(aside(lab, 2))) == (before, 1)
        refused = await lab.pods[0].run("remove", "db-0")
        assert (refused.returncode, "itself" in refused.stderr) == (2, True)


async def _gone(lab: Lab, member: str) -> bool:
    return member not in (await ids(lab)).values()


@pytest.mark.row(17)
async def test_a_cluster_older_than_peerboot(etcd: Server, make_lab: MakeLab) -> None:
    """Made by a hand-written static config, watched first, then taken over: ids stay, no write is lost, and from then
    on a lost disk is replaced.
    """
    async with make_lab(etcd) as lab:
        for ordinal in lab.ordinals:
            lab.pod_env[ordinal] = {"PEERBOOT_MODE": "observe"}
        await lab.start()
        for ordinal in lab.ordinals:
            await lab.until_rule(ordinal, "wait-for-all", "form")
        assert [list(lab.volume(o).iterdir()) for o in lab.ordinals] == [[], [], []]
        for ordinal in lab.ordinals:
            pod = lab.pods[ordinal]
            write_whole(pod.output / "etcd.yaml", _by_hand(lab, ordinal).encode(), 0o640)
        async with writing(lab):
            await lab.until_ready(60)
            before = await ids(lab)
            assert [list(pod.output.glob("*.withdrawn")) for pod in lab.pods.values()] == [[], [], []]
            assert [lab.log(o).count("Done: ") for o in lab.ordinals] == [0, 0, 0]
            for ordinal in lab.ordinals:
                lab.pod_env[ordinal] = {}
                await lab.delete(ordinal, grace=10)
                await lab.until_ready(60)
            assert await healthy(lab) == before
            assert [did(lab, o, "remembered cluster") for o in lab.ordinals] == [1, 1, 1]
            await lab.wipe(0)
            after = await healthy(lab, 1)
        assert after.pop("db-0") != before.pop("db-0")
        assert after == before


def _by_hand(lab: Lab, ordinal: int) -> str:
    address = lab.pods[ordinal].spec.address
    return "\n".join(
        [
            f"name: {lab.pod_name(ordinal)}",
            f"data-dir: {lab.data_dir(ordinal)}",
            f"listen-peer-urls: http://{address}:2380",
            f"listen-client-urls: http://{address}:{CLIENT_PORT}",
            f"initial-advertise-peer-urls: {url_of(lab, ordinal)}",
            f"advertise-client-urls: {url_of(lab, ordinal).replace('2380', str(CLIENT_PORT))}",
            "initial-cluster: " + ",".join(f"{lab.pod_name(o)}={url_of(lab, o)}" for o in lab.ordinals),
            "initial-cluster-token: by-hand",
            "enable-grpc-gateway: true",
            "",
        ]
    )


async def test_observe_touches_nothing(etcd: Server, make_lab: MakeLab) -> None:
    """A Pod in observe mode says what it would do with its lost disk, and does nothing; the others go on."""
    async with make_lab(etcd) as lab:
        before = await healthy(await formed(lab))
        lab.pod_env[2] = {"PEERBOOT_MODE": "observe"}
        await lab.wipe(2)
        await lab.until_rule(2, "replace-lost")
        await stays(lab, 2, "replace-lost")
        assert (await ids(lab), list(lab.volume(2).iterdir())) == (before, [])
        assert "observe" in (await lab.pods[2].run("hold")).stderr
