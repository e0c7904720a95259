"""What each wire format has to do for ``benchmarks.kafka_wire``. No candidate is imported before it is measured."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path

Message = tuple[str, int, bytes]
VECTORS = Path(__file__).parents[1] / "tests" / "kafka" / "vectors.txt"
LATEST = {"ApiVersions": 4, "SaslHandshake": 1, "SaslAuthenticate": 2, "Metadata": 13, "DescribeQuorum": 2,
          "DescribeCluster": 2, "AddRaftVoter": 1, "RemoveRaftVoter": 0, "UnregisterBroker": 0, "UpdateFeatures": 2,
          "AlterPartitionReassignments": 1, "ListPartitionReassignments": 0}  # fmt: skip
"""What 4.3 and peerboot negotiate."""
PASSWORD = "secret"  # noqa: S105 - of a server that lives for a minute


def vectors() -> list[Message]:
    """A request and a response of each call, the first of the vectors in its version."""
    lines = [line for line in VECTORS.read_text().splitlines() if line and not line.startswith("#")]
    found: dict[str, Message] = {}
    for head, raw in zip(lines[::3], lines[2::3], strict=True):
        name, version = head.split()[:2]
        call = name.removesuffix("Request").removesuffix("Response")
        if int(version[1:]) == LATEST[call]:
            found.setdefault(name, (name, LATEST[call], bytes.fromhex(raw)))
    return list(found.values())


def kio(messages: list[Message]) -> None:
    """Read and write each by kio."""
    serial = import_module("kio.serial")
    for name, version, raw in messages:
        side = "request" if name.endswith("Request") else "response"
        call = name.removesuffix(side.capitalize())
        folder = "".join(f"_{c.lower()}" if c.isupper() else c for c in call).removeprefix("_")
        entity = getattr(import_module(f"kio.schema.{folder}.v{version}.{side}"), name)
        value, _size = serial.entity_reader(entity)(raw, 0)
        out = BytesIO()
        serial.entity_writer(entity)(out, value)
        if out.getvalue() != raw:
            raise SystemExit(f"kio writes another {name}")


def kafka_python(messages: list[Message]) -> None:
    """Read and write by kafka-python those of which it has a schema."""
    modules = [import_module(f"kafka.protocol.{name}") for name in ("admin", "metadata", "sasl")]
    for name, version, raw in messages:
        made = next((getattr(module, name) for module in modules if hasattr(module, name)), None)
        if made is None:
            continue
        value = made.decode(raw, version=version)
        value._header = None  # left out by its reader, and needed by its writer
        value.encode(version=version)


def own(messages: list[Message]) -> None:
    """Read and write by peerboot's own, and import its client."""
    import peerboot.outside.kafka  # noqa: F401 - its cost is measured
    from peerboot.outside.kafka import requests, responses, wire
    from peerboot.outside.kafka.values import Endpoint

    directory = "UC8UpY3eTKS2i-38xb17jg"
    endpoint = Endpoint(listener="CONTROLLER", host="kafka-1", port=9093)
    requests.api_versions("peerboot", "1")
    requests.sasl_handshake("PLAIN")
    requests.sasl_authenticate(b"x")
    requests.metadata(["orders"])
    requests.describe_quorum()
    requests.describe_cluster(2, 1)
    requests.add_voter(1, cluster="c", timeout_ms=1, node=1, directory=directory, endpoints=[endpoint])
    requests.remove_voter(cluster="c", node=1, directory=directory)
    requests.unregister_broker(1)
    requests.update_features(timeout_ms=1, levels={"kraft.version": 1}, upgrade=1, validate_only=True)
    requests.alter_reassignments(1, timeout_ms=1, moves={("orders", 0): [1, 2]})
    requests.list_reassignments(timeout_ms=1)
    readers = {
        "MetadataResponse": responses.metadata,
        "DescribeQuorumResponse": responses.describe_quorum,
        "DescribeClusterResponse": responses.describe_cluster,
        "UpdateFeaturesResponse": responses.update_features,
        "AlterPartitionReassignmentsResponse": responses.alter_reassignments,
        "ListPartitionReassignmentsResponse": responses.list_reassignments,
        "RemoveRaftVoterResponse": responses.plain,
    }
    for name, version, raw in messages:
        if name in readers:
            readers[name](wire.Reader(raw), version)
        elif name == "ApiVersionsResponse":
            responses.api_versions(wire.Reader(raw))


LYING = bytes.fromhex("00000000 0000 00 ffffffff0f")
"""ListPartitionReassignments' answer, of which 12 bytes are there and 4 billion topics are named."""


def lied_to(candidate: str) -> str:
    """What reading ``LYING`` ends in; 2 GiB of memory are there for it."""
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    name = "ListPartitionReassignmentsResponse"
    try:
        if candidate == "kio":
            entity = getattr(import_module("kio.schema.list_partition_reassignments.v0.response"), name)
            import_module("kio.serial").entity_reader(entity)(LYING, 0)
        elif candidate == "kafka-python":
            getattr(import_module("kafka.protocol.admin"), name).decode(LYING, version=0)
        else:
            read = import_module("peerboot.outside.kafka.wire").Reader(LYING)
            import_module("peerboot.outside.kafka.responses").list_reassignments(read, 0)
    except Exception as error:  # noqa: BLE001 - which one is the question
        return f"{type(error).__name__}: {error}"
    return "read"


async def use() -> None:
    """Ten calls over TLS with SCRAM, then the client is left open."""
    from peerboot.outside.kafka import Address, Kafka, Login

    trust = ssl.create_default_context(cafile=os.environ["CA"])
    login = Login("SCRAM-SHA-512", "admin", PASSWORD)
    kafka = Kafka([Address("127.0.0.1", int(os.environ["PORT"]))], kind="broker", tls=trust, login=login)
    for _ in range(5):
        await kafka.describe_quorum()
        await kafka.metadata()
    globals()["kept"] = kafka


async def _serve(folder: Path) -> None:
    from tests.doors.api_server import make_certificates
    from tests.kafka.fake import fake, say
    from tests.kafka.fake_login import Doorman
    from tests.kafka.vectors import find

    made = make_certificates(folder, "ours")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.chain, made.key)
    behind = {
        55: say(find("DescribeQuorumResponse", "a dynamic quorum").raw),
        3: say(find("MetadataResponse", "two brokers").raw),
    }
    answers = Doorman("admin", PASSWORD).answers(behind)
    async with fake(answers, context) as there:
        print(there.address.port, made.ca, flush=True)
        await asyncio.Event().wait()


@contextlib.contextmanager
def serving() -> Iterator[dict[str, str]]:
    """A server in another process; gives the environment that leads to it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.kafka_load", folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - own code
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            port, authority = process.stdout.readline().split()
            yield {**os.environ, "PORT": port, "CA": authority}
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
