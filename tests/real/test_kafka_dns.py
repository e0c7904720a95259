"""Names that real Kafkas' Pods cannot resolve for a while: nothing forms by halves, and a restart needs no name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.dns import Mode
from peerboot.lab.network import Hosts
from peerboot.lab.pod import Pod
from peerboot.lab.servers import Server
from tests.real.kafka_scenes import PATIENT, formed, kind, quorum, settled, writing
from tests.real.scenes import MakeLab, decided, did, stays
from tests.real.volumes import until_says

QUIET = 3.0
"""Seconds for which servers do without a name, and the JVMs' own memory of it (a second here) is long over."""


def formatted(lab: Lab) -> list[int]:
    """Pods with a server that was started, or with anything of Kafka's on their disks."""
    return [o for o in lab.ordinals if (lab.pods[o].server.starts, kind(lab, o)) != (0, "blank")]


@pytest.mark.row(2)
async def test_names_that_resolve_late_form_one_cluster(make_lab: MakeLab, kafka: Server) -> None:
    """While DNS denies every name, or fails, nothing is formatted, and each Pod names both others. While it has two of
    three, these wait for the third by name; that one hears both, and may be born first, as one of three voters which
    elects nobody. When DNS has all three they are one cluster, of one birth.
    """
    async with make_lab(kafka) as lab:
        for mode, named in ((Mode.NXDOMAIN, "not in DNS"), (Mode.SERVFAIL, "DNS gives no answer: SERVFAIL")):
            lab.dns.fault(mode)
            if not lab.pods:
                await lab.start()
            for ordinal in lab.ordinals:
                others = [lab.pod_name(other) for other in lab.ordinals if other != ordinal]
                for pod in others:
                    await until_says(lab, ordinal, f"{pod} ({named}")
            await stays(lab, 0, "wait-for-all")
            assert formatted(lab) == []
        lab.pods[2].spec.withdraw()
        lab.dns.fault(Mode.OK)
        await lab.until("db-2 is born", lambda: _born(lab, 2))
        for ordinal in (0, 1):
            await until_says(lab, ordinal, "Not heard: db-2 (not in DNS).")
            await stays(lab, ordinal, "wait-for-all", seconds=QUIET)
        # Its server may run for long by now.
        assert (formatted(lab), (await lab.decision(2))["cluster"]["quorum"]) == ([2], False)
        assert "DNS does not list db-2 in Service peers" in lab.log(2)
        lab.pods[2].spec.publish()
        await lab.until_ready(PATIENT)
        await settled(lab)
        assert len({_birth(lab, o) for o in lab.ordinals}) == 1
        assert [did(lab, o, "recorded birth") for o in lab.ordinals] == [1, 1, 1]


async def _born(lab: Lab, ordinal: int) -> bool:
    return _birth(lab, ordinal) != ""


def _birth(lab: Lab, ordinal: int) -> str:
    """The token of the birth that a Pod has recorded."""
    return lab.log(ordinal).partition("Done: recorded birth ")[2].partition(".")[0]


@pytest.mark.row(3)
async def test_a_restarted_pod_whose_name_does_not_resolve(make_lab: MakeLab, kafka: Server) -> None:
    """The Pod whose controller led crashes, and comes back at an address that DNS does not have for some seconds: it
    just starts and serves, as the two others do meanwhile. Once its name resolves it is the voter that it was. No
    member was changed, and no record is missing.
    """
    async with make_lab(kafka) as lab:
        before = await formed(lab)
        async with writing(lab) as writer:
            late = (await quorum(lab)).leader
            others = [ordinal for ordinal in lab.ordinals if ordinal != late]
            await lab.crash(late, recreate=False)
            said = {ordinal: len(decided(lab, ordinal)) for ordinal in lab.ordinals}
            pod, publish = await unlisted(lab, late)
            await lab.until_ready(PATIENT, only=(late,))
            await writer.grows()
            for ordinal in others:
                await stays(lab, ordinal, "serving", "own-data", seconds=QUIET)
            unknown = f"Unable to resolve host {pod.spec.name}."
            assert (pod.server.exits, unknown in lab.log(late, "server")) == ([], False)
            assert any(unknown in lab.log(ordinal, "server") for ordinal in others)
            assert f"{pod.spec.name}." not in lab.hosts.path.read_text()
            publish()
            await lab.until_ready(PATIENT)
            await writer.grows()
        assert await settled(lab) == before
        since = {rule for o in lab.ordinals for rule in decided(lab, o)[said[o] :]}
        assert since <= {"wait/looking", "resume/own-data", "idle/serving"}, since
        assert await writer.missing() == []


@pytest.mark.row(4)
async def test_a_blank_controller_that_reaches_itself_first(make_lab: MakeLab, kafka: Server) -> None:
    """Its disk is lost, and the controllers' Service leads its server to itself alone, as on a busy node where its own
    address comes first: it finds the leader all the same, by the others' names, and is a voter again.
    """
    async with make_lab(kafka) as lab:
        await formed(lab)
        lost = (await quorum(lab)).leader
        await lab.wipe(lost, recreate=False)
        _, publish = await unlisted(lab, lost, only_itself=True)
        publish()
        await lab.until_ready(PATIENT)
        await settled(lab)


async def unlisted(lab: Lab, ordinal: int, *, only_itself: bool = False) -> tuple[Pod, Callable[[], None]]:
    """A new Pod, and what lists its name. Before that only its own server can resolve it: by a hosts file of its own,
    as a kubelet writes it. ``only_itself``: for this server the Service's name is its own address, and no other.
    """
    spec = await lab.pod_spec(ordinal)
    own = Hosts(lab.spec.root / f"hosts-{spec.name}")
    zone = lab.dns.zone.name
    names = {lab.pods[o].spec.name: lab.pods[o].spec.address for o in sorted(lab.pods)}
    lines = {f"{name}.{zone}": [address] for name, address in {**names, spec.name: spec.address}.items()}
    own.write({**lines, zone: [spec.address] if only_itself else list(names.values())}, [zone])
    pod = Pod(
        dataclasses.replace(spec, publish=lambda: None, server_env=lab.system.server_env(lab.spec.server, own.path))
    )
    lab.pods[ordinal] = pod
    pod.start()
    return pod, spec.publish
