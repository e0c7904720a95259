"""Kafka, broker and controller in one, by examples/kafka: one set that all tests here disturb in turn, under a
producer (``acks=all``). After each no acknowledged record is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kafka_scene import READY, Told, formed, kept_of, made_for, refused_of, shown_in, told_by
from tests.kubernetes.kafka_sets import Kept, make_kafka
from tests.kubernetes.kube import Cluster

pytestmark = pytest.mark.node
EXAMPLE = Path(__file__).parents[2] / "examples/kafka/kafka.yaml"


def _formed(cluster: Cluster) -> Told:
    """Three Pods that serve, and a producer that writes."""
    kafka = make_kafka(cluster, f"kafka-{time.monotonic_ns() % 100_000_000}")
    return formed(cluster, kafka, kafka)


@pytest.fixture(scope="module")
def kept(kafka_cluster: Cluster) -> Iterator[Kept[Told]]:
    """The set and its producer."""
    yield from kept_of(lambda: _formed(kafka_cluster))


@pytest.fixture
def told(kept: Kept[Told], measure: Measure, request: pytest.FixtureRequest) -> Iterator[Told]:
    """Before: healthy. After: the producer goes on, and nothing that it was told is missing."""
    yield from told_by(kept, measure, request.node.name)


def test_the_example_is_what_is_tested(kafka_cluster: Cluster) -> None:
    """examples/kafka/kafka.yaml is the manifest of these tests but for images and storage, and the API takes it."""
    assert shown_in(EXAMPLE) == made_for(kafka_cluster)
    assert refused_of(kafka_cluster, EXAMPLE, "kafka-example") == ""


def test_three_pods_form_one_cluster(told: Told, measure: Measure) -> None:
    """After one Secret and one ``kubectl apply`` three Pods are Ready: three voters with the directory ids of their own
    disks, three brokers, one cluster id.
    """
    measure("Kafka: three Pods Ready after kubectl apply", told.seconds)
    kafka = told.brokers
    assert set(kafka.wait_voters()) == {"kafka-0", "kafka-1", "kafka-2"}
    assert len({kafka.own(ordinal)["cluster.id"] for ordinal in range(3)}) == 1
    assert {broker.id for broker in kafka.topic().brokers} == {0, 1, 2}


def test_everything_is_deleted_at_once(told: Told, measure: Measure) -> None:
    """All Pods come back with their data, as the voters that they were."""
    kafka = told.brokers
    before, old = kafka.wait_voters(), kafka.uids().values()
    began = time.monotonic()
    kafka.delete_pods(*kafka.pods)
    kafka.wait_ready(READY, old)
    measure("Kafka: all Pods deleted at once", time.monotonic() - began)
    assert kafka.wait_voters() == before


def test_a_pod_and_its_volume_are_lost(told: Told, measure: Measure) -> None:
    """The disk of the leader of topic and controllers, where one Pod is both: it returns blank, its old voter is
    removed, it becomes a voter with a new directory id, and its replicas are filled from the others.
    """
    kafka = told.brokers
    before = kafka.wait_voters()
    (topic,) = kafka.topic().topics
    ordinal = topic.partitions[0].leader
    old = [kafka.uid(kafka.pod(ordinal))]
    began = time.monotonic()
    kafka.lose_disk(ordinal)
    kafka.wait_ready(READY, old)
    after = kafka.wait_voters()
    measure("Kafka: the topic leader's Pod and volume deleted", time.monotonic() - began)
    assert {name for name in before if before[name] != after[name]} == {kafka.pod(ordinal)}
    kafka.wait_in_sync()


@pytest.mark.parametrize("part", ["metadata", "logs"])
def test_one_directory_is_lost(told: Told, measure: Measure, part: str) -> None:
    """The controller's metadata or the broker's logs, of whoever leads there, while the server's container is started
    again: the other directory stays. Only lost metadata makes a new voter.
    """
    kafka = told.brokers
    before = kafka.wait_voters()
    (topic,) = kafka.topic().topics
    ordinal = kafka.quorum().leader if part == "metadata" else topic.partitions[0].leader
    other = "logs" if part == "metadata" else "metadata"
    kept = kafka.own(ordinal, other)
    began = time.monotonic()
    kafka.lose_directory(ordinal, part)
    after = kafka.wait_voters()
    kafka.wait_in_sync()
    kafka.wait_ready(READY)
    measure(f"Kafka: a leader's directory of {part} lost", time.monotonic() - began)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == ({kafka.pod(ordinal)} if part == "metadata" else set())
    assert kafka.own(ordinal, other) == kept


def test_scaled_up_and_down(told: Told, measure: Measure) -> None:
    """3, 4, 3: the fourth becomes a voter and a broker, and gets a replica. Drained as docs/brokers.md says, and scaled
    away, it leaves the voters before its Pod ends, and the replica has moved. Empty and fenced it is forgotten by the
    cluster, of which those that stay take care.
    """
    kafka = told.brokers
    before = kafka.wait_voters()
    began = time.monotonic()
    kafka.scale(4)
    kafka.wait_ready(READY)
    after = kafka.wait_voters()
    measure("Kafka: kubectl scale 3 to 4", time.monotonic() - began)
    assert {name: after[name] for name in before} == before
    told.producer.create("moved", "3:0:1")
    kafka.wait_in_sync(topic="moved")
    began = time.monotonic()
    said = kafka.kube.exec("kafka-0", "peerboot", "kafka", "drain", "kafka-3", "--yes", seconds=120)
    assert "broker 3 (kafka-3) holds no replicas now" in said
    assert kafka.registered() == {0, 1, 2, 3}
    kafka.scale(3)
    assert kafka.wait_voters() == before
    measure("Kafka: drained, and kubectl scale 4 to 3", time.monotonic() - began)
    kafka.wait_in_sync(topic="moved")
    (topic,) = kafka.topic("moved").topics
    assert sorted(topic.partitions[0].replicas) == [0, 1, 2]
    kafka.wait_registered({0, 1, 2})
    measure("Kafka: drained, scaled 4 to 3, and forgotten", time.monotonic() - began)
    assert [pod for pod in kafka.pods if "idle/unregister: " in kafka.kube.logs(pod)] != []


def test_a_rolling_restart(told: Told, measure: Measure) -> None:
    """``kubectl rollout restart``: one Pod after the other; voters and directory ids stay."""
    kafka = told.brokers
    before, old = kafka.wait_voters(), list(kafka.uids().values())
    began = time.monotonic()
    kafka.kube.run("rollout", "restart", f"statefulset/{kafka.name}")
    kafka.kube.run("rollout", "status", f"statefulset/{kafka.name}", "--timeout=240s", seconds=250)
    kafka.wait_ready(60, old)
    measure("Kafka: kubectl rollout restart", time.monotonic() - began)
    assert kafka.wait_voters() == before
