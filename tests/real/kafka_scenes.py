"""What scenarios with real Kafkas share: the quorum as its leader tells it, and a writer that misses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from peerboot.lab.cluster import Lab
from peerboot.outside.kafka import Address, Bounds, Kafka, KafkaError
from peerboot.outside.kafka.values import Quorum
from peerboot.systems.kafka import logdirs, properties

CONTROLLER_PORT, BROKER_PORT = 9093, 9092
TOPIC = "told"
PATIENT = 150.0
"""Seconds in which a set is ready on two busy cores; alone it takes ten."""


async def quorum(lab: Lab) -> Quorum:
    """The controllers' quorum, by whoever leads now."""
    async with asyncio.timeout(60):
        while True:
            places = [Address(pod.spec.address, CONTROLLER_PORT) for pod in lab.pods.values()]
            async with Kafka(places, kind="controller", bounds=Bounds(open=1, read=2, call=6)) as kafka:
                with contextlib.suppress(KafkaError):
                    return await kafka.describe_quorum()
            await asyncio.sleep(0.2)


async def voters(lab: Lab) -> dict[int, str]:
    """Directory id by node id."""
    return {voter.id: voter.directory for voter in (await quorum(lab)).voters}


async def formed(lab: Lab) -> dict[int, str]:
    """Create all Pods and wait until all serve: the voters, each with the directory id of its own disk."""
    await lab.start()
    await lab.until_ready(PATIENT)
    return await settled(lab)


async def settled(lab: Lab) -> dict[int, str]:
    """The voters, which are the expected Pods with the directory ids of their own disks, in one cluster."""
    found = await voters(lab)
    assert {o: own(lab, o)["directory.id"] for o in lab.ordinals} == found
    assert len({own(lab, o)["cluster.id"] for o in lab.ordinals}) == 1
    return found


def own(lab: Lab, ordinal: int, part: str = "metadata") -> dict[str, str]:
    """``meta.properties`` on a Pod's disk."""
    return properties.parse((lab.volume(ordinal) / part / "meta.properties").read_text())


def kind(lab: Lab, ordinal: int) -> str:
    """What a Pod's disk is."""
    volume = lab.volume(ordinal)
    return logdirs.read(volume / "metadata", (volume / "logs",), ordinal).kind


# ------------------------------------------------------------- the writer


def _environment(lab: Lab) -> dict[str, str]:
    hosts = f"-Djdk.net.hosts.file={lab.hosts.path}"
    fast = f"-Djava.security.properties={lab.spec.server.path}/config/java.security"
    return {**os.environ, "KAFKA_OPTS": f"{hosts} {fast}", "KAFKA_HEAP_OPTS": "-Xms16m -Xmx96m"}


def _command(lab: Lab, script: str, *arguments: str) -> tuple[str, ...]:
    where = f"{lab.spec.service}.{lab.spec.namespace}.svc.{lab.spec.domain}:{BROKER_PORT}"
    given = () if any("bootstrap.servers=" in one for one in arguments) else ("--bootstrap-server", where)
    return (f"{lab.spec.server.path}/bin/{script}", *arguments, *given)


async def run_tool(lab: Lab, script: str, *arguments: str) -> str:
    """Run one of Kafka's own tools against the brokers; what it prints."""
    process = await asyncio.create_subprocess_exec(
        *_command(lab, script, *arguments), env=_environment(lab), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(90):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-2000:]
    return said.decode()


class Writer:
    """Kafka's own VerifiableProducer, which tells each acknowledged record (``acks=all``)."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.acknowledged: dict[tuple[int, int], str] = {}
        """Value by partition and offset."""

    async def _take(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                if told.get("name") == "producer_send_success":
                    self.acknowledged[told["partition"], told["offset"]] = str(told["value"])

    async def grows(self, records: int = 20) -> None:
        """So many more records are acknowledged from now on."""
        goal = len(self.acknowledged) + records
        await self.lab.until(f"{records} more records", lambda: self._has(goal), PATIENT)

    async def _has(self, count: int) -> bool:
        return len(self.acknowledged) >= count

    async def missing(self) -> list[str]:
        """Acknowledged values that a consumer which reads everything from the beginning does not find."""
        most = str(max((offset for _, offset in self.acknowledged), default=-1) + 1)
        said = await run_tool(
            self.lab, "kafka-run-class.sh", "org.apache.kafka.tools.VerifiableConsumer", "--topic", TOPIC,
            "--group-id", f"all-{len(self.acknowledged)}-{most}", "--max-messages", most, "--reset-policy", "earliest",
            "--verbose",
        )  # fmt: skip
        found = set()
        for line in said.splitlines():
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                if told.get("name") == "record_data":
                    found.add(str(told["value"]))
        return sorted(set(self.acknowledged.values()) - found)


@asynccontextmanager
async def writing(lab: Lab) -> AsyncIterator[Writer]:
    """A producer that writes to a topic of three copies, two in sync, while the block runs."""
    await run_tool(
        lab, "kafka-topics.sh", "--create", "--if-not-exists", "--topic", TOPIC, "--partitions", "1",
        "--replication-factor", "3", "--config", "min.insync.replicas=2",
    )  # fmt: skip
    writer = Writer(lab)
    process = await asyncio.create_subprocess_exec(
        *_command(lab, "kafka-run-class.sh", "org.apache.kafka.tools.VerifiableProducer", "--topic", TOPIC,
                  "--throughput", "50", "--acks", "-1"),
        env=_environment(lab), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    reading = asyncio.create_task(writer._take(process.stdout))
    try:
        await writer.grows()
        yield writer
        await writer.grows()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(20):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await reading


def without_line(path: Path, start: str) -> None:
    """Take the lines that begin so out of a file."""
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith(start)))
