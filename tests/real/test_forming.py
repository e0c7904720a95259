"""All disks are blank: the Pods form one cluster, once all have said so themselves, and never before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from peerboot.lab.dns import Mode
from peerboot.lab.servers import Server
from peerboot.systems.etcd import ids as computed
from tests.real.scenes import (
    MakeLab,
    consent_in,
    decided,
    did,
    formed,
    healthy,
    own_id,
    stays,
    writing,
)
from tests.real.volumes import until_says


@pytest.mark.row(1)
async def test_all_blank_form_one_cluster(every_etcd: Server, make_lab: MakeLab) -> None:
    """All are born into one token, from which follow the ids; afterwards each config is good only for its own data."""
    async with make_lab(every_etcd) as lab, writing(await formed(lab)):
        listed = await healthy(lab)
        zone, scheme = "peers.lab.svc.cluster.local", "http" if lab.spec.trust is None else "https"
        urls = {lab.pod_name(o): f"{scheme}://{lab.pod_name(o)}.{zone}:2380" for o in lab.ordinals}
        token = lab.log(0).partition("recorded birth ")[2][:32]
        assert listed == {pod: computed.hexed(computed.member_id([url], token)) for pod, url in urls.items()}
        assert own_id(lab, 0)[0] == computed.static_cluster(urls.values(), token)
        assert [did(lab, o, "remove ") + did(lab, o, "add-learner") for o in lab.ordinals] == [0, 0, 0]
        for ordinal in lab.ordinals:
            permit = (lab.pods[ordinal].output / "etcd.yaml").read_text()
            assert "# permit: resume" in permit.splitlines()
        said = await lab.pods[0].run("status")
        assert (said.returncode, said.stderr) == (0, "")
        assert all(pod in said.stdout for pod in urls)


@pytest.mark.row(2)
async def test_a_late_pod_is_waited_for(etcd: Server, make_lab: MakeLab) -> None:
    """While one Pod is missing the others wait and name it, to probes and people too; then all form."""
    async with make_lab(etcd) as lab:
        await lab.start(only=(0, 1))
        await until_says(lab, 0, "Not heard: db-2 (not in DNS)")
        await stays(lab, 0, "wait-for-all")
        await stays(lab, 1, "wait-for-all", seconds=0.2)
        assert "db-2" in lab.pods[0].sentence()
        assert [lab.pods[o].server.starts for o in (0, 1)] == [0, 0]
        plan = await lab.pods[0].run("plan")
        assert (plan.returncode, "wait-for-all" in plan.stdout) == (0, True)
        await lab.create(2)
        await healthy(lab)


@pytest.mark.row(2)
async def test_dns_outages_form_nothing(etcd: Server, make_lab: MakeLab) -> None:
    """Each kind of outage is a reason to wait, and is named; when DNS is back all form."""
    async with make_lab(etcd) as lab:
        for mode, named in ((Mode.SERVFAIL, "SERVFAIL"), (Mode.NXDOMAIN, "not in DNS"), (Mode.SILENT, "no answer")):
            lab.dns.fault(mode)
            if not lab.pods:
                await lab.start()
            await until_says(lab, 0, named)
            await stays(lab, 1, "wait-for-all", seconds=0.5)
        assert [pod.server.starts for pod in lab.pods.values()] == [0, 0, 0]
        lab.dns.fault(Mode.OK)
        await healthy(lab)


@pytest.mark.row(2)
async def test_one_pod_without_dns_keeps_all_waiting(etcd: Server, make_lab: MakeLab) -> None:
    """A Pod that knows nobody is silent to itself, not to the others: they may be born first, it follows."""
    async with make_lab(etcd) as lab:
        lab.dns.fault(Mode.SERVFAIL, "db-0")
        await lab.start()
        await lab.until_ready(60, only=(1, 2))
        await stays(lab, 0, "wait-for-all", "cluster-exists", seconds=1.0)
        assert lab.pods[0].server.starts == 0
        lab.dns.fault(Mode.OK, "db-0")
        listed = await healthy(lab)
        # It was planned with the others, and its disk has not changed: it is born late, not added.
        assert [did(lab, o, "add-learner") for o in lab.ordinals] == [0, 0, 0]
        assert sorted(listed) == ["db-0", "db-1", "db-2"]


@pytest.mark.row(4)
async def test_replicas_unknown(etcd: Server, make_lab: MakeLab) -> None:
    """Without the number of replicas a blank disk forms nothing: how many there are is not how many there should be."""
    async with make_lab(etcd, env={"PEERBOOT_REPLICAS": ""}) as lab:
        await lab.start(only=(0,))
        await lab.until_rule(0, "replicas-unknown")
        await stays(lab, 0, "replicas-unknown")
        assert lab.pods[0].server.starts == 0


@pytest.mark.row(5)
async def test_all_disks_lost_and_an_anchor_remembers(etcd: Server, make_lab: MakeLab, short_root: Path) -> None:
    """With an anchor outside the volumes the loss of all disks is a refusal; a person may let it form empty."""
    async with make_lab(etcd, env={"PEERBOOT_ANCHOR": f"file:{short_root}/anchor.json"}) as lab:
        before = await healthy(await formed(lab))
        anchor = (short_root / "anchor.json").read_text()
        await asyncio.gather(*(lab.wipe(o, recreate=False) for o in lab.ordinals))
        await lab.start()
        refused = await lab.until_rule(0, "anchor-forbids")
        await lab.until_rule(1, "anchor-forbids")
        await stays(lab, 2, "anchor-forbids", "wait-for-all")
        assert [pod.server.starts for pod in lab.pods.values()] == [0, 0, 0]
        assert (short_root / "anchor.json").read_text() == anchor
        allowed = await lab.pods[0].run("consent", consent_in(refused["reason"]))
        assert allowed.returncode == 0, allowed.stderr
        assert set((await healthy(lab)).values()).isdisjoint(before.values())
        assert [path.read_text() for path in short_root.glob("anchor.json.aside-*")] == [anchor]


async def test_a_pod_that_differs_keeps_all_from_forming(etcd: Server, make_lab: MakeLab) -> None:
    """Another number of replicas: nothing forms, both sides name it; put right, all form."""
    async with make_lab(etcd) as lab:
        lab.pod_env[2] = {"PEERBOOT_REPLICAS": "5"}
        await lab.start()
        await until_says(lab, 0, "db-2: it expects 5 pods, this Pod 3 pods")
        await until_says(lab, 2, "it expects 3 pods, this Pod 5 pods")
        await stays(lab, 1, "wait-for-all")
        assert [pod.server.starts for pod in lab.pods.values()] == [0, 0, 0]
        lab.pod_env.clear()
        await lab.crash(2)
        await healthy(lab)


async def test_as_init_container_and_plain_sidecar(etcd: Server, make_lab: MakeLab) -> None:
    """Before Kubernetes 1.29: init containers form and end, sidecars go on; a restart and a lost disk as ever."""
    async with make_lab(etcd, style="init") as lab:
        before = await healthy(await formed(lab))
        assert [pod.init.exits[-1].code for pod in lab.pods.values()] == [0, 0, 0]
        await lab.delete(1, grace=10)
        assert await healthy(lab) == before
        await lab.wipe(0)
        after = await healthy(lab, 1)
        assert {name: id_ for name, id_ in after.items() if before.get(name) != id_}.keys() == {"db-0"}


async def test_addresses_instead_of_names(plain_etcd: Server, make_lab: MakeLab) -> None:
    """Where servers cannot resolve names the URLs hold addresses; forming and a lost disk work all the same."""
    async with make_lab(plain_etcd, names=False) as lab:
        await healthy(await formed(lab))
        await lab.wipe(2)
        await healthy(lab)
        assert did(lab, 2, "add-learner") == 1


async def test_one_alone(etcd: Server, make_lab: MakeLab) -> None:
    """A set of one forms alone, and without an anchor forms again when its disk is lost."""
    async with make_lab(etcd, replicas=1) as lab:
        before = await healthy(await formed(lab), voters=1)
        await lab.wipe(0)
        assert (await healthy(lab, voters=1)).values() != before.values()
        assert len(decided(lab, 0)) > 0
