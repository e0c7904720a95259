"""A StatefulSet of Kafkas as a user applies it, what its leader says of it, and a producer that misses nothing."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, TypeVar

from peerboot.outside.kafka import Address, Bounds, Kafka, KafkaError
from peerboot.outside.kafka.values import Metadata, Quorum
from peerboot.systems.kafka import properties
from tests.kubernetes.kube import Cluster, Kube, Object, make_namespace
from tests.kubernetes.sets import Edit, PodSet, manifest, new_set_of, set_of

T = TypeVar("T")
CONTROLLER_PORT, BROKER_PORT = 9093, 9092
TOPIC = "told"
BIN = "/opt/kafka/bin"
WRITER = "writer"
INSTANCE = "app.kubernetes.io/instance"
TMP = "/tmp"  # noqa: S108 - of a container
TOOLS = {"LOG_DIR": TMP, "KAFKA_HEAP_OPTS": "-Xmx96m", "KAFKA_OPTS": "-Dsun.net.inetaddr.ttl=1"}
"""A client that forgets the addresses of Pods soon; Java keeps them for 30 s."""
BOUNDS = Bounds(open=1, read=2, call=6)


@dataclass
class KafkaSet(PodSet):
    """Brokers and controllers in one."""

    # ---------------------------------------------------------------- seen

    def ask(self, kind: Any, what: Callable[[Kafka], Any]) -> Any:
        """What a server says, by the addresses of the Pods; raises ``KafkaError``."""
        port = CONTROLLER_PORT if kind == "controller" else BROKER_PORT
        places = [Address(each["status"]["podIP"], port) for each in self._pods() if "podIP" in each["status"]]

        async def once() -> Any:
            # Hosts that the leader names are the cluster's, and not known where the tests run.
            async with Kafka(places, kind=kind, bounds=BOUNDS, follow=False) as kafka:
                return await what(kafka)

        return self.kube.node.in_network(lambda: asyncio.run(once()))

    def until_told(self, what: str, seconds: float, look: Callable[[], T | None]) -> T:
        """As ``Kube.until``; no answer counts as nothing yet."""

        def quiet() -> T | None:
            with suppress(KafkaError, ValueError):
                return look()
            return None

        return self.kube.until(what, seconds, quiet)

    def quorum(self) -> Quorum:
        """The controllers', as their leader tells it."""
        found: Quorum = self.until_told("a leader", 40, lambda: self.ask("controller", Kafka.describe_quorum))
        return found

    def voters(self) -> dict[str, str]:
        """Pod to directory id."""
        return {f"{self.name}-{voter.id}": voter.directory for voter in self.quorum().voters}

    def own(self, ordinal: int, part: str = "metadata") -> dict[str, str]:
        """``meta.properties`` on a Pod's disk."""
        folder = self.kube.node.folder(self.kube.volume_folder(self.claim(ordinal)))
        return properties.parse((folder / part / "meta.properties").read_text())

    def wait_voters(self, seconds: float = 60) -> dict[str, str]:
        """Until the voters are exactly the replicas' Pods, each with the directory id of its own disk; these."""

        def look() -> dict[str, str] | None:
            own = {self.pod(ordinal): self.own(ordinal)["directory.id"] for ordinal in range(self.replicas)}
            return own if own == self.voters() else None

        return self.until_told(f"voters are {', '.join(self.pods)}", seconds, look)

    def topic(self, name: str = TOPIC) -> Metadata:
        """The brokers and a topic, by a broker."""
        found: Metadata = self.ask("broker", lambda kafka: kafka.metadata([name]))
        return found

    def registered(self) -> set[int]:
        """Ids of the brokers that the cluster knows, fenced ones too."""
        found = self.ask("broker", lambda kafka: kafka.describe_cluster(fenced=True))
        return {node.id for node in found.nodes}

    def wait_registered(self, ids: set[int], seconds: float = 200) -> None:
        """Until the brokers that the cluster knows are exactly these. A Pod is gone when DNS has said so three times,
        which at rest, with records of 30 s, takes 135 s at most, and the servers are looked at every ten.
        """
        self.until_told(f"brokers {sorted(ids)}", seconds, lambda: True if self.registered() == ids else None)

    def wait_in_sync(self, seconds: float = 60, topic: str = TOPIC) -> None:
        """Until every replica of the topic is in sync, so that the next may be disturbed."""

        def look() -> bool | None:
            (found,) = self.topic(topic).topics
            fine = [len(part.in_sync) == len(part.replicas) == 3 for part in found.partitions]
            return True if fine and all(fine) else None

        self.until_told(f"{topic} has three replicas in sync", seconds, look)

    # ---------------------------------------------------------------- disturbed

    def lose_directory(self, ordinal: int, part: str) -> None:
        """The server is killed and one of its directories is gone when its container is started again; until it has
        another, and a meta.properties in it.
        """
        folder = self.kube.node.folder(self.kube.volume_folder(self.claim(ordinal)))
        old = self.own(ordinal, part)["directory.id"]
        self.kill_container(self.pod(ordinal), "kafka")
        (folder / part).rename(folder / f"lost-{part}-{time.monotonic_ns():x}")

        def made() -> bool | None:
            with suppress(OSError):
                return True if self.own(ordinal, part)["directory.id"] != old else None
            return None

        self.until_told(f"another directory of {part}", 90, made)


@dataclass
class Producer:
    """Kafka's own VerifiableProducer in its own Pod, with ``acks=all``; it tries none twice, and its log tells each."""

    kafka: KafkaSet
    image: str
    errors: int = 0
    longest_gap: float = 0.0
    """Seconds between two acknowledged records."""
    acknowledged: dict[int, str] = field(default_factory=dict)
    """Value by offset in the one partition."""

    @property
    def kube(self) -> Kube:
        """Where it runs."""
        return self.kafka.kube

    def start(self) -> None:
        """Make the topic of three copies, two in sync, and begin; one record is acknowledged at the end."""
        where = f"{self.kafka.peers}:{BROKER_PORT}"
        script = f"""
set -e
{BIN}/kafka-topics.sh --bootstrap-server {where} --create --if-not-exists --topic {TOPIC} --partitions 1 \
    --replication-factor 3 --config min.insync.replicas=2
exec {BIN}/kafka-run-class.sh org.apache.kafka.tools.VerifiableProducer --bootstrap-server {where} --topic {TOPIC} \
    --throughput 50 --acks -1
"""
        self.kube.apply([_tool_pod(WRITER, self.image, self.kube.cluster.pull_policy, script)])
        self.grows()

    def create(self, topic: str, assignment: str) -> None:
        """A topic with one partition whose replicas are at these brokers."""
        self.kube.exec(
            WRITER, f"{BIN}/kafka-topics.sh", "--bootstrap-server", f"{self.kafka.peers}:{BROKER_PORT}", "--create",
            "--topic", topic, "--replica-assignment", assignment, container="tool", seconds=60,
        )  # fmt: skip

    def _last(self) -> int:
        """The highest acknowledged value so far, by the last lines of the log."""
        seen = [int(row["value"]) for row in _rows(self.kube.logs(WRITER, "tool", "--tail=200"))]
        return max(seen, default=-1)

    def grows(self, seconds: float = 60) -> None:
        """A record that was begun after this call is acknowledged."""
        # At 50 a second none that is under way now has a value so much higher.
        goal = self._last() + 50
        self.kube.until("more records are acknowledged", seconds, lambda: True if self._last() >= goal else None)

    def lost(self) -> dict[int, str]:
        """Acknowledged records that are not at their offset; empty is right."""
        log = self.kube.logs(WRITER, "tool")
        assert "startup_complete" in log, "the beginning of the writer's log is gone"
        rows = _rows(log)
        self.acknowledged = {row["offset"]: row["value"] for row in rows}
        self.errors = log.count('"producer_send_error"')
        times = [row["timestamp"] for row in rows]
        gaps = [after - before for before, after in pairwise(times)]
        self.longest_gap = max(gaps, default=0) / 1000
        assert len(self.acknowledged) == len(rows), "two records were acknowledged at one offset"
        most = max(self.acknowledged) + 1
        said = self.kube.exec(
            WRITER, f"{BIN}/kafka-run-class.sh", "org.apache.kafka.tools.consumer.ConsoleConsumer",
            "--bootstrap-server", f"{self.kafka.peers}:{BROKER_PORT}", "--topic", TOPIC, "--partition", "0",
            "--offset", "earliest", "--max-messages", str(most), "--timeout-ms", "30000", "--formatter-property",
            "print.offset=true", container="tool", seconds=90,
        )  # fmt: skip
        found = dict(re.findall(r"^Offset:(\d+)\t(\d+)$", said, re.MULTILINE))
        return {at: value for at, value in self.acknowledged.items() if found.get(str(at)) != value}

    def told(self) -> str:
        """For the table at the end of the run."""
        return f"{len(self.acknowledged)} records, {self.errors} errors, longest gap {self.longest_gap:.1f} s"


class Kept(Generic[T]):
    """What the tests of a module disturb in turn: each gets it healthy, and one that is not is replaced."""

    def __init__(self, make: Callable[[], T], check: Callable[[T], None], end: Callable[[T], None]) -> None:
        self._make, self._check, self._end = make, check, end
        self._made: T | None = None

    def healthy(self) -> T:
        """The one that is there, or another."""
        if self._made is not None:
            try:
                self._check(self._made)
            except AssertionError:
                self.end()
            else:
                return self._made
        self._made = self._make()
        self._check(self._made)
        return self._made

    def end(self) -> None:
        """Delete it."""
        if self._made is not None:
            self._end(self._made)
            self._made = None


def end_namespace(kube: Kube) -> None:
    """All that is in it goes, the Pods at once: each would keep its part of the node for its grace period, and the next
    set would wait for that.
    """
    kube.run("delete", "pod", "--all", "--grace-period=0", "--force", "--wait=false", check=False)
    kube.run("delete", "namespace", kube.namespace, "--wait=false", check=False)


def _rows(log: str) -> list[dict[str, Any]]:
    found = []
    for line in log.splitlines():
        with suppress(ValueError):
            row = json.loads(line)
            if row.get("name") == "producer_send_success":
                found.append(row)
    return found


def _tool_pod(name: str, image: str, pull: str, script: str) -> Object:
    """A Pod that runs Kafka's tools, under Pod Security ``restricted``."""
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "tool",
                    "image": image,
                    "imagePullPolicy": pull,
                    "command": ["sh", "-c", script],
                    "env": [{"name": name, "value": value} for name, value in TOOLS.items()],
                    "securityContext": confined,
                    "volumeMounts": [{"name": "tmp", "mountPath": TMP}],
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def make_kafka(cluster: Cluster, namespace: str, *options: str, edit: Edit = lambda _: None) -> KafkaSet:
    """A set in a new namespace, not yet applied."""
    return new_set_of(KafkaSet, cluster, namespace, manifest(cluster, *options, system="kafka"), edit)


def make_split(cluster: Cluster, namespace: str, *options: str) -> tuple[KafkaSet, KafkaSet]:
    """Controllers and brokers of ``--split`` in a new namespace, not yet applied."""
    kube, objects = make_namespace(cluster, namespace), manifest(cluster, "--split", *options, system="kafka")
    names = [each["metadata"]["name"] for each in objects if each["kind"] == "StatefulSet"]
    controllers, brokers = (
        set_of(KafkaSet, kube, [each for each in objects if each["metadata"]["labels"][INSTANCE] == name])
        for name in names
    )
    # One Secret for both.
    brokers.keys = controllers.keys
    return controllers, brokers
