"""A cluster that is older than peerboot, and Pods that only look."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import AsyncIterator
from functools import partial

from peerboot.lab.client import Writer
from peerboot.lab.cluster import Lab
from peerboot.lab.container import Container
from peerboot.lab.pod import Pod, PodSpec
from peerboot.lab.servers import Server
from tests.real.mortal import FAST
from tests.real.scenes import MakeLab, did, healthy, ids, own_id, stays, writing
from tests.real.volumes import until_says


def by_hand(lab: Lab, spec: PodSpec) -> Container:
    """A Pod's server with the config file that people wrote."""
    command = (*spec.server[:-1], f"--config-file={lab.spec.root / f'{spec.name}.yaml'}")
    log = lab.spec.root / "logs" / f"{spec.name}.older.log"
    return Container("older", command, {"PATH": os.environ["PATH"]}, log, spec.timing)


@contextlib.asynccontextmanager
async def older_cluster(lab: Lab) -> AsyncIterator[list[tuple[PodSpec, Container]]]:
    """A cluster that people made with config files of their own, on the volumes and under the names of this set."""
    await lab.start(only=())
    specs = [await lab.pod_spec(ordinal) for ordinal in lab.ordinals]
    zone = f"{lab.spec.service}.{lab.spec.namespace}.svc.{lab.spec.domain}"
    cluster = ",".join(f"{spec.name}=http://{spec.name}.{zone}:2380" for spec in specs)
    made: list[tuple[PodSpec, Container]] = []
    try:
        for spec in specs:
            config = lab.spec.root / f"{spec.name}.yaml"
            config.write_text(
                f"name: {spec.name}\ndata-dir: {lab.data_dir(spec.ordinal)}\n"
                f"listen-peer-urls: http://{spec.address}:2380\nlisten-client-urls: http://{spec.address}:2379\n"
                f"listen-metrics-urls: http://{spec.address}:2381\n"
                f"initial-advertise-peer-urls: http://{spec.name}.{zone}:2380\n"
                f"advertise-client-urls: http://{spec.name}.{zone}:2379\n"
                f"initial-cluster: {cluster}\ninitial-cluster-state: new\ninitial-cluster-token: by-hand\n"
            )
            spec.volume.mkdir(parents=True)
            spec.publish()
            made.append((spec, by_hand(lab, spec)))
        for _, server in made:
            server.start()
        yield made
    finally:
        await asyncio.gather(*(server.stop(0.0) for _, server in made))


def seals(lab: Lab) -> list[tuple[str, str, bool]]:
    """Cluster, member, adopted: what each volume is sealed to."""
    states = [json.loads((lab.volume(o) / ".peerboot" / "state.json").read_text()) for o in lab.ordinals]
    return [(state["seal"]["cluster"], state["seal"]["member"], state["seal"]["adopted"]) for state in states]


async def test_observed_then_adopted(make_lab: MakeLab, plain_etcd: Server) -> None:
    """A cluster that is older than peerboot is first watched, which leaves nothing on any volume and changes nothing,
    then taken over Pod by Pod under writes: ids and data stay, and the volumes are sealed as adopted.
    """
    async with make_lab(plain_etcd, timing=FAST) as lab, older_cluster(lab) as older:
        # The Pod's address is where its server answers, and its server container is not one that peerboot gates.
        lab.pods = {
            spec.ordinal: Pod(
                dataclasses.replace(
                    spec, env={**spec.env, "PEERBOOT_MODE": "observe"}, server=("sleep", "600"), publish=lambda: None
                )
            )
            for spec, _ in older
        }
        for pod in lab.pods.values():
            pod.start()
        await lab.until_ready()
        before = await ids(lab)
        for ordinal in lab.ordinals:
            await lab.until_rule(ordinal, "serving")
            assert sorted(path.name for path in lab.volume(ordinal).iterdir()) == ["etcd"]
            assert not (lab.pods[ordinal].output / "etcd.yaml").exists()
            # What it would do is start that server as it is, which to managing peerboots is nothing new.
            # On a busy machine its one look may not be over in time; then it says so.
            await lab.until("it would write the file", partial(_would_write, lab, ordinal))
        held = await lab.pods[0].run("hold")
        assert (held.returncode, "observe changes nothing" in held.stderr) == (2, True)

        async with writing(lab):
            for spec, server in older:
                await server.stop(10.0)
                await lab.pods.pop(spec.ordinal).crash()
                await lab.create(spec.ordinal)
                await lab.until_ready()
        assert await healthy(lab) == before
        assert seals(lab) == [(*own_id(lab, ordinal), True) for ordinal in lab.ordinals]
        assert [did(lab, o, "recorded birth") for o in lab.ordinals] == [0, 0, 0]


async def test_observed_blank_set(make_lab: MakeLab, plain_etcd: Server) -> None:
    """Pods that only observe say what they would do and form nothing, however blank all disks are."""
    async with make_lab(plain_etcd, env={"PEERBOOT_MODE": "observe"}, timing=FAST) as lab:
        await lab.start()
        await lab.until_rule(0, "wait-for-all")
        await stays(lab, 0, "wait-for-all")
        # Observing holds no container back: etcd is started, finds no configuration and ends.
        assert {exit.code for pod in lab.pods.values() for exit in pod.server.exits} <= {1}
        assert [(pod.output / "etcd.yaml").exists() for pod in lab.pods.values()] == [False] * 3
        assert [sorted(lab.volume(o).iterdir()) for o in lab.ordinals] == [[], [], []]


async def test_a_mixed_set(make_lab: MakeLab, plain_etcd: Server) -> None:
    """Of an older cluster one Pod is taken over: the others are unknown to it. Its disk is lost midway: it joins; with
    their servers down it waits, names them and forms nothing. One is taken over with its disk lost, and the last one:
    the ids of those whose disks stayed are what they were, and no acknowledged write is missing.
    """
    async with make_lab(plain_etcd, timing=FAST) as lab, older_cluster(lab) as older, writing_to(lab, older) as writer:
        await lab.until("the older cluster takes writes", lambda: _written(writer))
        await older[2][1].stop(10.0)
        await lab.create(2)
        await lab.until_ready(only=[2])
        before = await ids(lab, 2)
        assert sorted(before) == ["db-0", "db-1", "db-2"]
        assert [await _told(lab, 2, pod) for pod in ("db-0", "db-1")] == [["silent", "unknown"]] * 2

        await lab.wipe(2)
        await lab.until_ready(120, only=[2])
        joined = await ids(lab, 2)
        assert [joined[pod] == before[pod] for pod in sorted(before)] == [True, True, False]

        await asyncio.gather(*(server.stop(0.0) for _, server in older[:2]))
        await lab.wipe(2)
        await until_says(lab, 2, "db-0")
        await stays(lab, 2, "wait-for-all", "lost-waits")
        assert lab.pods[2].server.starts == 0
        older[:2] = [(spec, by_hand(lab, spec)) for spec, _ in older[:2]]
        for _, server in older[:2]:
            server.start()
        await lab.until_ready(120, only=[2])

        await older[1][1].stop(10.0)
        shutil.rmtree(lab.data_dir(1))
        await lab.create(1)
        await lab.until_ready(120, only=[1, 2])
        await older[0][1].stop(10.0)
        await lab.create(0)
        after = await healthy(lab)
        assert [after[pod] == before[pod] for pod in sorted(before)] == [True, False, False]
        assert [did(lab, o, "recorded birth") for o in lab.ordinals] == [0, 0, 0]
        await writer.stop()
        assert [await writer.missing(lab.client_url(ordinal)) for ordinal in lab.ordinals] == [[], [], []]


@contextlib.asynccontextmanager
async def writing_to(lab: Lab, older: list[tuple[PodSpec, Container]]) -> AsyncIterator[Writer]:
    """Writes to the Pods, and to those servers that are in none yet."""

    def urls() -> list[str]:
        alone = [f"http://{spec.address}:2379" for spec, _ in older if spec.ordinal not in lab.pods]
        return [*alone, *(lab.client_url(ordinal) for ordinal in sorted(lab.pods))]

    writer = Writer(urls, pause=0.02)
    writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


async def _written(writer: Writer) -> bool:
    return len(writer.acknowledged) > 5


async def _told(lab: Lab, ordinal: int, pod: str) -> list[str]:
    """What one Pod's status says of another's word and disk."""
    said = await lab.pods[ordinal].run("status")
    [row] = [line.split() for line in said.stdout.splitlines() if line.startswith(f"{pod} ")]
    return row[2:4]


async def _would_write(lab: Lab, ordinal: int) -> bool:
    plan = (await lab.pods[ordinal].run("plan")).stdout
    return plan.startswith("idle (serving): ") and "  write etcd.yaml, with which the server may start\n" in plan
