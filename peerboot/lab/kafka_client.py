"""Clients of the lab's Kafka: its own tools, the quorum as its leader tells it, and a writer that misses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from peerboot.lab.cluster import Lab
from peerboot.lab.container import send
from peerboot.lab.errors import LabError
from peerboot.lab.network import dying_with_parent
from peerboot.outside.kafka import Address, Bounds, Kafka, KafkaError
from peerboot.outside.kafka.values import Quorum

CONTROLLER_PORT, BROKER_PORT = 9093, 9092
TOPIC = "told"
PATIENT = 150.0
"""Seconds in which a set is ready on two busy cores; alone it takes ten."""
QUORUM_SECONDS = 60
TOOL_SECONDS = 90
"""For one of Kafka's own tools, and for reading everything back; alone they take two."""
STOPPING = 20
RATE = "50"
"""Records that are written in a second."""
BRIEF = Bounds(open=1, read=2, call=6)


async def quorum(lab: Lab) -> Quorum:
    """The controllers' quorum, by whoever leads now. Raises ``TimeoutError``."""
    async with asyncio.timeout(QUORUM_SECONDS):
        while True:
            places = [Address(pod.spec.address, CONTROLLER_PORT) for pod in lab.pods.values()]
            async with Kafka(places, kind="controller", bounds=BRIEF) as kafka:
                with contextlib.suppress(KafkaError):
                    return await kafka.describe_quorum()
            await asyncio.sleep(0.2)


async def voters(lab: Lab) -> dict[int, str]:
    """Directory id by node id."""
    return {voter.id: voter.directory for voter in (await quorum(lab)).voters}


# ---------------------------------------------------------- its own tools


@asynccontextmanager
async def _tool(
    lab: Lab, script: str, *arguments: str, errors: int = asyncio.subprocess.DEVNULL
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of them, against all brokers that there are; it is over when the block is."""
    hosts = f"-Djdk.net.hosts.file={lab.hosts.path}"
    fast = f"-Djava.security.properties={lab.spec.server.path}/config/java.security"
    where = f"{lab.spec.service}.{lab.spec.namespace}.svc.{lab.spec.domain}:{BROKER_PORT}"
    # Older tools take it as a property.
    given = () if any("bootstrap.servers=" in one for one in arguments) else ("--bootstrap-server", where)
    process = await asyncio.create_subprocess_exec(
        *dying_with_parent(), f"{lab.spec.server.path}/bin/{script}", *arguments, *given,
        env={**os.environ, "KAFKA_OPTS": f"{hosts} {fast}", "KAFKA_HEAP_OPTS": "-Xms16m -Xmx96m"},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=errors, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        send(process, signal.SIGKILL)
        await process.wait()


async def run_tool(lab: Lab, script: str, *arguments: str) -> str:
    """Run one of Kafka's own tools against the brokers; what it prints. Raises ``LabError``."""
    words = f"{script} {' '.join(arguments)}"
    async with _tool(lab, script, *arguments, errors=asyncio.subprocess.STDOUT) as process:
        try:
            async with asyncio.timeout(TOOL_SECONDS):
                said, _ = await process.communicate()
        except TimeoutError:
            raise LabError(f"not within {TOOL_SECONDS} s: {words}\n{lab.told_by_all()}") from None
    if process.returncode != 0:
        raise LabError(f"{words} failed: {said.decode(errors='replace')[-2000:]}\n{lab.told_by_all()}")
    return said.decode(errors="replace")


async def _events(process: asyncio.subprocess.Process, name: str) -> AsyncIterator[Mapping[str, Any]]:
    """What one of Kafka's verifiable clients tells under that name, until it is over."""
    if process.stdout is None:
        return
    async for line in process.stdout:
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict) and told.get("name") == name:
                yield told


class Writer:
    """Kafka's own VerifiableProducer, which tells each acknowledged record (``acks=all``)."""

    def __init__(self, lab: Lab, partitions: int = 1, config: Path | None = None) -> None:
        """``config``: a file of properties for Kafka's clients, where listeners are secured."""
        self.lab = lab
        self._config = config
        self._partitions = partitions
        self.acknowledged: dict[tuple[int, int], str] = {}
        """Value by partition and offset."""
        self._stack = contextlib.AsyncExitStack()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make its topic of three copies, of which two must have a record, and write until stopped."""
        await run_tool(
            self.lab, "kafka-topics.sh", "--create", "--if-not-exists", "--topic", TOPIC, "--partitions",
            str(self._partitions), "--replication-factor", "3", "--config", "min.insync.replicas=2",
            *self._as("--command-config"),
        )  # fmt: skip
        with (self.lab.spec.root / "logs" / "producer.log").open("ab") as log:
            self._process = await self._stack.enter_async_context(
                _tool(
                    self.lab, "kafka-run-class.sh", "org.apache.kafka.tools.VerifiableProducer", "--topic", TOPIC,
                    "--throughput", RATE, "--acks", "-1", *self._as("--producer.config"), errors=log.fileno(),
                )
            )  # fmt: skip
        self._reading = asyncio.create_task(self._take(self._process))

    def _as(self, option: str) -> tuple[str, ...]:
        return (option, str(self._config)) if self._config is not None else ()

    async def _take(self, process: asyncio.subprocess.Process) -> None:
        async for told in _events(process, "producer_send_success"):
            self.acknowledged[told["partition"], told["offset"]] = str(told["value"])

    async def stop(self) -> None:
        """What is on its way is still acknowledged; then it is over."""
        if self._process is not None and self._reading is not None:
            send(self._process, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOPPING):
                    await asyncio.shield(self._reading)
        await self._stack.aclose()
        if self._reading is not None:
            await self._reading
        self._process = self._reading = None

    async def grows(self, records: int = 20) -> None:
        """So many more records are acknowledged from now on."""
        goal = len(self.acknowledged) + records

        async def enough() -> bool:
            if self._process is not None and self._process.returncode is not None:
                raise LabError(f"the producer ended with {self._process.returncode}\n{self.lab.told_by_all()}")
            return len(self.acknowledged) >= goal

        await self.lab.until(f"{records} more acknowledged records", enough, PATIENT)

    async def missing(self) -> list[str]:
        """Acknowledged values that a consumer of everything from the beginning does not find where they were put.

        Raises ``LabError`` when it finds nothing at all.
        """
        left, read = dict(self.acknowledged), 0
        # A group that was never seen has no offset to go on from.
        group = f"all-{secrets.token_hex(4)}"
        consumer = (
            "kafka-run-class.sh", "org.apache.kafka.tools.VerifiableConsumer", "--topic", TOPIC, "--group-id", group,
            "--reset-policy", "earliest", "--verbose", *self._as("--consumer.config"),
        )  # fmt: skip
        async with _tool(self.lab, *consumer) as process:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TOOL_SECONDS):
                    async for told in _events(process, "record_data"):
                        read += 1
                        place = told["partition"], told["offset"]
                        if left.get(place) == str(told["value"]):
                            del left[place]
                        if not left:
                            break
        if left and not read:
            raise LabError(f"a consumer found no record within {TOOL_SECONDS} s\n{self.lab.told_by_all()}")
        return sorted(left.values())
