"""Kafka with controllers and brokers as two sets, by examples/kafka-split: both disturbed in turn, under a producer
(``acks=all``). After each no acknowledged record is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kafka_scene import READY, Told, formed, kept_of, made_for, refused_of, shown_in, told_by
from tests.kubernetes.kafka_sets import Kept, make_split
from tests.kubernetes.kube import Cluster

pytestmark = pytest.mark.node
EXAMPLE = Path(__file__).parents[2] / "examples/kafka-split/kafka-split.yaml"


def _disks(told: Told) -> dict[str, str]:
    """Directory id of each broker's metadata."""
    brokers = told.brokers
    return {brokers.pod(each): brokers.own(each)["directory.id"] for each in range(brokers.replicas)}


def _formed(cluster: Cluster) -> Told:
    """Six Pods that serve, and a producer that writes."""
    controllers, brokers = make_split(cluster, f"split-{time.monotonic_ns() % 100_000_000}")
    return formed(cluster, controllers, brokers)


@pytest.fixture(scope="module")
def kept(kafka_cluster: Cluster) -> Iterator[Kept[Told]]:
    """The sets and their producer."""
    yield from kept_of(lambda: _formed(kafka_cluster))


@pytest.fixture
def told(kept: Kept[Told], measure: Measure, request: pytest.FixtureRequest) -> Iterator[Told]:
    """Before: healthy. After: the producer goes on, and nothing that it was told is missing."""
    yield from told_by(kept, measure, request.node.name)


def test_the_example_is_what_is_tested(kafka_cluster: Cluster) -> None:
    """examples/kafka-split/kafka-split.yaml is the manifest of these tests but for images and storage, and the API
    takes it.
    """
    assert shown_in(EXAMPLE) == made_for(kafka_cluster, "--split")
    assert refused_of(kafka_cluster, EXAMPLE, "split-example") == ""


def test_two_sets_form_one_cluster(told: Told, measure: Measure) -> None:
    """After one Secret and one ``kubectl apply`` six Pods are Ready: three voters, three brokers, one cluster id."""
    measure("Kafka, two sets: six Pods Ready after kubectl apply", told.seconds)
    assert set(told.controllers.wait_voters()) == {f"kafka-controllers-{ordinal}" for ordinal in range(3)}
    ids = {each.own(ordinal)["cluster.id"] for each in (told.controllers, told.brokers) for ordinal in range(3)}
    assert len(ids) == 1
    assert {broker.id for broker in told.brokers.topic().brokers} == {100, 101, 102}


def test_everything_is_deleted_at_once(told: Told, measure: Measure) -> None:
    """All Pods of both sets: brokers that have no controller to hand over to end within their time, and all come back
    with their data.
    """
    voters, disks, old = told.controllers.wait_voters(), _disks(told), told.uids()
    began = time.monotonic()
    told.brokers.delete_pods(*told.controllers.pods, *told.brokers.pods)
    told.wait_ready(old, 240)
    measure("Kafka, two sets: all Pods deleted at once", time.monotonic() - began)
    assert (told.controllers.wait_voters(), _disks(told)) == (voters, disks)


def test_a_controllers_disk_is_lost(told: Told, measure: Measure) -> None:
    """The leader's Pod and volume: its old voter is removed, and it becomes a voter with a new directory id."""
    before, ordinal = told.controllers.wait_voters(), told.controllers.quorum().leader
    pod = told.controllers.pod(ordinal)
    old = [told.controllers.uid(pod)]
    began = time.monotonic()
    told.controllers.lose_disk(ordinal)
    told.controllers.wait_ready(READY, old)
    after = told.controllers.wait_voters()
    measure("Kafka, two sets: the controllers' leader and its volume deleted", time.monotonic() - began)
    assert {name for name in before if before[name] != after[name]} == {pod}


def test_a_brokers_disk_is_lost(told: Told, measure: Measure) -> None:
    """The topic leader's Pod and volume: it is formatted anew, and its replicas are filled from the others."""
    before, voters = _disks(told), told.controllers.wait_voters()
    (topic,) = told.brokers.topic().topics
    ordinal = topic.partitions[0].leader - 100
    old = [told.brokers.uid(told.brokers.pod(ordinal))]
    began = time.monotonic()
    told.brokers.lose_disk(ordinal)
    told.brokers.wait_ready(READY, old)
    told.brokers.wait_in_sync()
    measure("Kafka, two sets: the topic leader's Pod and volume deleted", time.monotonic() - began)
    after = _disks(told)
    assert {name for name in before if before[name] != after[name]} == {told.brokers.pod(ordinal)}
    assert told.controllers.wait_voters() == voters


def test_brokers_are_scaled_up_and_down(told: Told, measure: Measure) -> None:
    """3, 4, 3: the fourth serves, and ends. No topic has a replica there, for none is moved by a scale-down."""
    before = _disks(told)
    began = time.monotonic()
    told.brokers.scale(4)
    told.brokers.wait_ready(READY)
    measure("Kafka, two sets: brokers 3 to 4", time.monotonic() - began)
    assert {broker.id for broker in told.brokers.topic().brokers} == {100, 101, 102, 103}
    began = time.monotonic()
    told.brokers.scale(3)
    told.brokers.wait_ready(READY)
    measure("Kafka, two sets: brokers 4 to 3", time.monotonic() - began)
    assert _disks(told) == before


def test_a_rolling_restart_of_both(told: Told, measure: Measure) -> None:
    """``kubectl rollout restart`` of both at the same time: one Pod of each after the other."""
    voters, disks, old = told.controllers.wait_voters(), _disks(told), told.uids()
    names = [f"statefulset/{each.name}" for each in (told.controllers, told.brokers)]
    began = time.monotonic()
    told.brokers.kube.run("rollout", "restart", *names)
    for name in names:
        told.brokers.kube.run("rollout", "status", name, "--timeout=240s", seconds=250)
    told.wait_ready(old)
    measure("Kafka, two sets: kubectl rollout restart of both", time.monotonic() - began)
    assert (told.controllers.wait_voters(), _disks(told)) == (voters, disks)
