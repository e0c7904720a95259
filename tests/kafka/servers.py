"""Real Kafkas: servers from the lab's homes of Kafka. Needs a JDK and Maven; a missing one is an error that says so."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from peerboot.lab.jars import VERSIONS, find
from peerboot.lab.network import Network
from peerboot.outside.kafka import Address, Bounds, Kafka, KafkaError, wire
from tests.doors.api_server import Certificates
from tests.kafka.contract import LOGINS, PASSWORD, USER, Place

__all__ = ["VERSIONS", "Node", "RealKafka", "real_kafka"]
FORMAT_SECONDS = 60
START_SECONDS = 90
CONTROLLER, PLAIN, SECURE = 9093, 9092, 9094
QUIET = {**os.environ, "KAFKA_LAB_LOG_LEVEL": "WARN"}


@dataclass
class Node:
    """One server's folder, and its process once it is started."""

    home: Path
    folder: Path
    process: asyncio.subprocess.Process | None = None

    def program(self, name: str, *arguments: str) -> list[str]:
        """A command line."""
        return [f"{self.home}/bin/{name}", *arguments]

    def told(self) -> str:
        """The end of its log."""
        log = self.folder / "log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""


def properties(number: int, addresses: list[str], folder: Path, secret: Certificates) -> str:
    """server.properties: 1 and 2 are brokers and controllers, 3 is a controller."""
    host = addresses[number - 1]
    listeners = [f"CONTROLLER://{host}:{CONTROLLER}"]
    lines = [
        f"process.roles={'controller' if number == 3 else 'broker,controller'}",
        f"node.id={number}",
        "controller.quorum.bootstrap.servers=" + ",".join(f"{one}:{CONTROLLER}" for one in addresses),
        "controller.listener.names=CONTROLLER",
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,SECURE:SASL_SSL",
        f"log.dirs={folder}/data",
        "offsets.topic.replication.factor=1",
        "transaction.state.log.replication.factor=1",
        "transaction.state.log.min.isr=1",
        "log.cleaner.dedupe.buffer.size=2097152",
        "num.network.threads=1",
        "num.io.threads=2",
    ]
    if number != 3:
        listeners.append(f"PLAIN://{host}:{PLAIN}")
        lines.append("inter.broker.listener.name=PLAIN")
    if number == 1:
        listeners.append(f"SECURE://{host}:{SECURE}")
        keystore = folder / "server.pem"
        keystore.write_text(secret.key.read_text() + secret.chain.read_text() + secret.ca.read_text())
        plain, scram = (
            f"org.apache.kafka.common.security.{name} required"
            for name in ("plain.PlainLoginModule", "scram.ScramLoginModule")
        )
        lines += [
            "listener.name.secure.ssl.keystore.type=PEM",
            f"listener.name.secure.ssl.keystore.location={keystore}",
            "listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            f'listener.name.secure.plain.sasl.jaas.config={plain} user_{USER}="{PASSWORD}";',
            f"listener.name.secure.scram-sha-256.sasl.jaas.config={scram};",
            f"listener.name.secure.scram-sha-512.sasl.jaas.config={scram};",
        ]
    text = ",".join(listeners)
    return "\n".join([*lines, f"listeners={text}", f"advertised.listeners={text}", ""])


async def _format(node: Node, cluster: str, voters: str) -> None:
    scram = [f"--add-scram={kind}=[name={USER},password={PASSWORD}]" for kind in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
    arguments = ["format", f"--cluster-id={cluster}", "-c", f"{node.folder}/server.properties"]
    command = node.program("kafka-storage.sh", *arguments, f"--initial-controllers={voters}", *scram)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(FORMAT_SECONDS):
        said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"kafka-storage format ended with {process.returncode}: {said.decode()[-2000:]}")


async def _settled(place: Place) -> None:
    """Until the quorum leads, each controller knows of it, and the broker serves and knows all logins."""
    bounds = Bounds(open=2, read=3, call=5)
    async with asyncio.timeout(START_SECONDS):
        while True:
            with suppress(KafkaError):
                async with (
                    Kafka(place.controllers, kind="controller", bounds=bounds) as kafka,
                    Kafka([place.broker], kind="broker", bounds=bounds) as broker,
                ):
                    quorum = await kafka.describe_quorum()
                    level = (await broker.versions()).level("metadata.version")
                    nodes = (await broker.describe_cluster()).nodes
                    for controller in place.controllers:
                        async with Kafka([controller], kind="controller", bounds=bounds) as one:
                            await one.describe_quorum()
                            await one.describe_cluster()
                    for login in LOGINS.values():
                        async with place.secured(login) as one:
                            await one.describe_cluster()
                    if (
                        quorum.leader > 0
                        and len(nodes) == 2
                        and level
                        and all(one.caught_up_ms > 0 for one in quorum.voters)
                    ):
                        return
            await asyncio.sleep(0.5)


@dataclass(frozen=True)
class RealKafka:
    """Where it is, and its processes by id."""

    place: Place
    nodes: dict[int, Node]

    async def kill(self, number: int) -> None:
        """SIGKILL: no good-bye to anybody."""
        process = self.nodes[number].process
        assert process is not None
        process.kill()
        await process.wait()


@asynccontextmanager
async def real_kafka(
    version: str, root: Path, network: Network, ours: Certificates, other: Certificates
) -> AsyncIterator[RealKafka]:
    """Three controllers, two of which are brokers too; ``ours`` is for the address ``network.fixed(0)``."""
    addresses = [network.fixed(number) for number in range(3)]
    cluster, directories = (
        wire.uuid_text(b"\1" + os.urandom(15)),
        [wire.uuid_text(b"\1" + os.urandom(15)) for _ in range(3)],
    )
    voters = ",".join(
        f"{number}@{host}:{CONTROLLER}:{directory}"
        for number, (host, directory) in enumerate(zip(addresses, directories, strict=True), 1)
    )
    home, nodes = find(version).path, []
    for number in (1, 2, 3):
        folder = root / str(number)
        folder.mkdir()
        (folder / "server.properties").write_text(properties(number, addresses, folder, ours))
        nodes.append(Node(home, folder))
    one, two, three = (Address(host, CONTROLLER) for host in addresses)
    place = Place(
        cluster,
        (one, two, three),
        Address(addresses[0], PLAIN),
        Address(addresses[0], SECURE),
        ours.ca,
        other.ca,
    )
    try:
        for node in nodes:
            await _format(node, cluster, voters)
        for node in nodes:
            with (node.folder / "log").open("wb") as log:
                command = node.program("kafka-server-start.sh", f"{node.folder}/server.properties")
                node.process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, env=QUIET)
        await _settled(place)
        yield RealKafka(place, dict(enumerate(nodes, 1)))
    except BaseException as error:
        error.add_note("\n".join(f"-- {node.folder.name}:\n{node.told()}" for node in nodes))
        raise
    finally:
        await asyncio.gather(*(_stopped(node) for node in nodes))


async def _stopped(node: Node) -> None:
    """By SIGTERM, and by SIGKILL where that takes long: the last of a quorum waits for the others."""
    if node.process is None or node.process.returncode is not None:
        return
    node.process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(10):
            await node.process.wait()
    except TimeoutError:
        node.process.kill()
        await node.process.wait()
