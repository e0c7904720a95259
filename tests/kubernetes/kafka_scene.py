"""What the tests of Kafka's sets share: a cluster of one set or of two that all of a module disturb in turn, under a
producer (``acks=all``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kafka_sets import KafkaSet, Kept, Producer, end_namespace
from tests.kubernetes.kube import Cluster, Object, make_namespace
from tests.kubernetes.sets import manifest

READY = 150


@dataclass
class Told:
    """The sets, their producer, and how long they took to form."""

    controllers: KafkaSet
    brokers: KafkaSet
    """The same where broker and controller are one."""
    producer: Producer
    seconds: float

    @property
    def sets(self) -> tuple[KafkaSet, ...]:
        """Each once, in the order in which they are made."""
        return (self.brokers,) if self.controllers is self.brokers else (self.controllers, self.brokers)

    def wait_ready(self, old: tuple[str, ...] = (), seconds: float = READY) -> None:
        """Every Pod of all sets is Ready, none of them one of the old."""
        for each in self.sets:
            each.wait_ready(seconds, old)

    def uids(self) -> tuple[str, ...]:
        """Of every Pod of all sets."""
        return tuple(uid for each in self.sets for uid in each.uids().values())


def formed(cluster: Cluster, controllers: KafkaSet, brokers: KafkaSet) -> Told:
    """All Pods serve, and a producer writes."""
    told = Told(controllers, brokers, Producer(brokers, cluster.kafka_image), 0)
    began = time.monotonic()
    # As the file has them: in one command.
    for each in told.sets:
        for ordinal in range(each.replicas):
            each.kube.volume(each.claim(ordinal))
    controllers.write_secret(controllers.keys)
    controllers.kube.apply([one for each in told.sets for one in each.objects])
    told.wait_ready()
    told.seconds = time.monotonic() - began
    told.producer.start()
    return told


def kept_of(make: Callable[[], Told]) -> Iterator[Kept[Told]]:
    """For a fixture of a module: what its tests disturb in turn, deleted at the end."""
    kept = Kept(make, _check, lambda told: end_namespace(told.brokers.kube))
    yield kept
    kept.end()


def _check(told: Told) -> None:
    """All Pods Ready and all replicas in sync."""
    told.wait_ready()
    told.brokers.wait_in_sync()


def told_by(kept: Kept[Told], measure: Measure, test: str) -> Iterator[Told]:
    """For a fixture of each test. Before: healthy. After: the producer goes on, and nothing that it was told is
    missing.
    """
    told = kept.healthy()
    yield told
    told.producer.grows()
    lost = told.producer.lost()
    measure(f"({test})", 0, f"so far {told.producer.told()}")
    assert lost == {}


def shown_in(example: Path) -> list[Object]:
    """The objects of an example, but for what differs in a test: images and storage."""
    return _bare([each for each in yaml.safe_load_all(example.read_text()) if each])


def made_for(cluster: Cluster, *options: str, system: str = "kafka") -> list[Object]:
    """The objects of the manifest that these tests apply, but for the same."""
    return _bare(manifest(cluster, *options, system=system))


def _bare(objects: list[Object]) -> list[Object]:
    for spec in (each["spec"] for each in objects if each["kind"] == "StatefulSet"):
        for container in (*spec["template"]["spec"]["initContainers"], *spec["template"]["spec"]["containers"]):
            del container["image"]
        del spec["volumeClaimTemplates"][0]["spec"]["resources"]
    return objects


def refused_of(cluster: Cluster, example: Path, namespace: str) -> str:
    """What the API has against an example, in a new namespace; nothing is made."""
    kube = make_namespace(cluster, namespace)
    return kube.run("apply", "--dry-run=server", "-f", str(example)).stderr
