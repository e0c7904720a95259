"""One cluster for the whole run: the test node with this tree's images, or the one that KUBECONFIG names."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from tests.kubernetes.kube import STORAGE_CLASS, Cluster, Kube
from tests.kubernetes.node import Node, NodeError, script
from tests.kubernetes.sets import EtcdSet, make_set
from tools import image

TAG = "test"
FOREIGN = bool(os.environ.get("KUBECONFIG"))
"""Use that cluster, and leave out what needs the node's inside."""
KEEP = os.environ.get("PEERBOOT_TEST_NODE_KEEP", "") not in ("", "0")
"""Leave the node up, and use one that is up; for those who work on these tests."""
RESULTS = pytest.StashKey[list[tuple[str, float, str]]]()
Measure = Callable[..., None]
"""``measure(what, seconds, remark)``."""


def pytest_configure(config: pytest.Config) -> None:
    """The marker, and a place for the figures."""
    config.addinivalue_line("markers", "node: needs the inside of the test node, left out on a cluster of KUBECONFIG")
    config.stash[RESULTS] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a foreign cluster, leave out what cannot be done there; pytest says how many."""
    if not FOREIGN:
        return
    out = [item for item in items if item.get_closest_marker("node")]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The time of each repair."""
    rows = config.stash.get(RESULTS, [])
    if rows:
        terminalreporter.section("measured on the node")
        for name, seconds, remark in rows:
            terminalreporter.write_line(f"{seconds:6.1f} s  {name}" + (f" ({remark})" if remark else ""))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Up, with both images and a default StorageClass."""
    if FOREIGN:
        names = {name: os.environ.get(name, "") for name in ("PEERBOOT_TEST_IMAGE", "PEERBOOT_TEST_ETCD_IMAGE")}
        missing = [name for name, value in names.items() if not value]
        assert missing == [], f"KUBECONFIG is set: name images that this cluster can pull by {' and '.join(missing)}"
        yield Cluster(None, names["PEERBOOT_TEST_IMAGE"], names["PEERBOOT_TEST_ETCD_IMAGE"])
        return
    script("build")
    try:
        node = Node.running() if KEEP else Node()
    except NodeError:
        node = Node()
    with image.alone():
        built = image.build("local", "", image.LOCAL_PYTHON, TAG), image.build_etcd("scratch", TAG)
        for name in built:
            script("image", str(image.export(name)))
    made = Cluster(node, *built)
    Kube(made, "default").apply([STORAGE_CLASS])
    yield made
    if not KEEP:
        script("down")


@pytest.fixture(scope="session")
def kafka_cluster(cluster: Cluster) -> Cluster:
    """The same, with the image of Kafka too; its tests look at disks, so they need the test node."""
    if not cluster.kafka_image:
        with image.alone():
            cluster.kafka_image = image.build_kafka("local", TAG)
            script("image", str(image.export(cluster.kafka_image)))
    return cluster


@pytest.fixture(scope="session")
def postgres_cluster(cluster: Cluster) -> Cluster:
    """The same, with the image of Postgres too."""
    if not cluster.postgres_image:
        with image.alone():
            cluster.postgres_image = image.build_postgres("local", TAG)
            script("image", str(image.export(cluster.postgres_image)))
    return cluster


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Measure:
    """Put a figure into the table at the end of the run."""
    rows = request.config.stash[RESULTS]

    def put(name: str, seconds: float, remark: str = "") -> None:
        rows.append((name, seconds, remark))

    return put


_count = iter(range(1000))


def _namespace(name: str) -> str:
    """A name that no other run has on this cluster, though it began in the same second."""
    return f"{name}-{time.monotonic_ns() % 100_000_000}"


@pytest.fixture
def new_set(cluster: Cluster) -> Iterator[Callable[..., EtcdSet]]:
    """Sets in namespaces of their own, deleted at the end; the arguments are those of ``make_set``."""
    made: list[EtcdSet] = []

    def make(*options: str, **more: object) -> EtcdSet:
        made.append(make_set(cluster, _namespace(f"t{next(_count)}"), *options, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.kube.run("delete", "namespace", each.kube.namespace, "--wait=false", check=False)


class Shared:
    """One set of three that many tests disturb in turn. Each gets it healthy; one that is not is replaced."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._set: EtcdSet | None = None
        self._count = 0

    def healthy(self) -> EtcdSet:
        """Three Ready Pods that are the three voters."""
        if self._set is not None:
            try:
                self._set.wait_ready(60)
                self._set.wait_voters(20)
            except AssertionError:
                self.end()
            else:
                return self._set
        self._count += 1
        self._set = make_set(self._cluster, _namespace(f"shared{self._count}"))
        self._set.apply()
        self._set.wait_ready()
        self._set.wait_voters()
        return self._set

    def end(self) -> None:
        """Delete it."""
        if self._set is not None:
            self._set.kube.run("delete", "namespace", self._set.kube.namespace, "--wait=false", check=False)
            self._set = None


@pytest.fixture(scope="session")
def shared(cluster: Cluster) -> Iterator[Shared]:
    """For ``etcd``."""
    made = Shared(cluster)
    yield made
    made.end()


@pytest.fixture
def etcd(shared: Shared) -> EtcdSet:
    """A healthy set of three, which other tests use too."""
    return shared.healthy()
