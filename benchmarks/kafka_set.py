"""How long a set of Kafkas takes to form, and a lost controller to vote again, against the same steps by hand.

``python -m benchmarks.kafka_set [RUNS]``; it needs a JDK and Maven. By hand is the shortest script that does it: the
list of voters and every name are there from the start, each container formats and starts. A lost disk by hand is
Kafka's own ``controller.quorum.auto.join.enable``, which 4.2 brought: the container formats as an observer and starts.
Both ways run in the same lab with the same settings. Formed: each broker tells that all are registered.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.tables import AS_IN_THE_IMAGE, show, spread
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.container import Container
from peerboot.lab.errors import LabError
from peerboot.lab.jars import find
from peerboot.lab.pod import PodSpec
from peerboot.lab.servers import Server
from peerboot.outside.kafka import Address, Bounds, Kafka, KafkaError, wire

SIZE = 3
BOUND = 120.0
QUICK = Bounds(open=0.5, read=0.8, call=1.5)
CLUSTER = "bL7vmpYoRcSTJpf6jO-LDQ"
SCRIPT = """set -eu
{home}/bin/kafka-storage.sh format --ignore-formatted --cluster-id={cluster} {flags} --config {file}
exec {home}/bin/kafka-server-start.sh {file}
"""


async def until(true: Callable[[], Awaitable[bool]], began: float) -> float:
    """Seconds since ``began`` at which something became so."""
    while not await true():
        if time.monotonic() - began > BOUND:
            raise LabError(f"not within {BOUND:g} s")
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def registered(addresses: list[str]) -> bool:
    """Whether each broker says that all are."""

    async def one(address: str) -> bool:
        with contextlib.suppress(KafkaError):
            async with Kafka([Address(address, 9092)], kind="broker", bounds=QUICK) as kafka:
                return len((await kafka.describe_cluster()).nodes) == len(addresses)
        return False

    return all(await asyncio.gather(*(one(address) for address in addresses)))


async def votes(addresses: list[str], node: int, directory: Path) -> bool:
    """Whether the directory's own id is a voter."""
    meta = directory / "meta.properties"
    if not meta.exists():
        return False
    own = next((line[13:] for line in meta.read_text().splitlines() if line.startswith("directory.id=")), "")
    with contextlib.suppress(KafkaError):
        places = [Address(address, 9093) for address in addresses]
        async with Kafka(places, kind="controller", bounds=QUICK, follow=False) as kafka:
            voter = (await kafka.describe_quorum()).voter(node)
            return voter is not None and voter.directory == own
    return False


async def with_peerboot(server: Server, root: Path) -> tuple[float, float]:
    """Seconds to form, and from the new Pod of a lost disk to its vote."""
    async with Lab(LabSpec(root=root, server=server, replicas=SIZE, peerboot=AS_IN_THE_IMAGE)) as lab:
        began = time.monotonic()
        formed = await until(lambda: registered([pod.spec.address for pod in lab.pods.values()]), began)
        await lab.until_ready(BOUND)
        await lab.wipe(1, recreate=False)
        await asyncio.sleep(4)
        others = [pod.spec.address for pod in lab.pods.values()]
        began = time.monotonic()
        await lab.create(1)
        return formed, await until(lambda: votes(others, 1, lab.data_dir(1)), began)


def by_hand(spec: PodSpec, lab: Lab, flags: str, more: str) -> Container:
    """The container of a Pod whose files a person wrote."""
    run, node = spec.directory / "run", spec.ordinal
    run.mkdir(parents=True, exist_ok=True)
    spec.volume.mkdir(parents=True, exist_ok=True)
    zone = f"{lab.spec.service}.{lab.spec.namespace}.svc.{lab.spec.domain}"
    base = Path(lab.system.env(spec.volume)["PEERBOOT_BASE_CONFIG_FILE"]).read_text()
    own = {"CONTROLLER": 9093, "INTERNAL": 9092}
    (run / "server.properties").write_text(
        f"{base}\n{more}\nprocess.roles=broker,controller\nnode.id={node}\n"
        f"controller.quorum.bootstrap.servers={zone}:9093\ncontroller.listener.names=CONTROLLER\n"
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT\ninter.broker.listener.name=INTERNAL\n"
        f"listeners={','.join(f'{name}://{spec.address}:{port}' for name, port in own.items())}\n"
        f"advertised.listeners={','.join(f'{name}://{spec.name}.{zone}:{port}' for name, port in own.items())}\n"
        f"metadata.log.dir={spec.volume}/metadata\nlog.dirs={spec.volume}/logs\n"
        "offsets.topic.replication.factor=3\ntransaction.state.log.replication.factor=3\n"
    )
    text = SCRIPT.format(home=lab.spec.server.path, cluster=CLUSTER, flags=flags, file=run / "server.properties")
    (run / "start.sh").write_text(text)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", **spec.server_env}
    log = spec.logs / f"{spec.name}.log"
    return Container("server", (*spec.server[:-2], "sh", f"{run}/start.sh"), env, log, spec.timing)


async def without(server: Server, root: Path) -> tuple[float, float]:
    """The same without peerboot: by a script that knows everything, and by auto-join."""
    lab = Lab(LabSpec(root=root, server=server, replicas=SIZE))
    await lab.start(only=())
    servers: dict[int, Container] = {}
    try:
        specs = [await lab.pod_spec(ordinal) for ordinal in lab.ordinals]
        zone = f"{lab.spec.service}.{lab.spec.namespace}.svc.{lab.spec.domain}"
        ids = [wire.uuid_text(bytes([1 + spec.ordinal]) * 16) for spec in specs]
        voters = ",".join(f"{s.ordinal}@{s.name}.{zone}:9093:{i}" for s, i in zip(specs, ids, strict=True))
        join = "controller.quorum.auto.join.enable=true"
        for spec in specs:
            spec.publish()
        for spec in specs:
            servers[spec.ordinal] = by_hand(spec, lab, f"--initial-controllers {voters}", join)
        began = time.monotonic()
        for container in servers.values():
            container.start()
        formed = await until(lambda: registered([spec.address for spec in specs]), began)
        await servers.pop(1).stop(0.0)
        lost = specs[1].volume
        lost.rename(root / "lost")
        await asyncio.sleep(4)
        servers[1] = by_hand(specs[1], lab, "--no-initial-controllers", join)
        others = [spec.address for spec in specs if spec.ordinal != 1]
        began = time.monotonic()
        servers[1].start()
        return formed, await until(lambda: votes(others, 1, lost / "metadata"), began)
    finally:
        await asyncio.gather(*(container.stop(0.0) for container in servers.values()))
        await lab.stop()


async def measure(runs: int) -> None:
    """Both ways in turn."""
    server = find()
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="pb-") as root:
            ours.append(await with_peerboot(server, Path(root)))
        with tempfile.TemporaryDirectory(prefix="pb-") as root:
            theirs.append(await without(server, Path(root)))
    rows = [["", "with peerboot", "by hand, auto-join", "ratio"]]
    for number, name in enumerate(("all Pods started to all brokers registered", "lost disk: new Pod to voter again")):
        one, two = [run[number] for run in ours], [run[number] for run in theirs]
        rows.append([name, spread(one), spread(two), f"{statistics.median(one) / statistics.median(two):.2f}"])
    show(f"Seconds, {SIZE} Pods, Kafka {server.version}; median, least and greatest of {runs}", rows)


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
