"""Real servers of each release, and the directories that they leave behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from peerboot.lab.network import Network
from peerboot.lab.servers import VERSIONS, Server, find
from tests.etcd.server import Etcd

BIG = 1 << 20
"""Bytes of one value: 70 of them fill a segment of 64 MB."""


@dataclass(frozen=True)
class Made:
    """Directories of one release, and whose they are by the server's own word. Copy before changing."""

    server: Server
    blank: Path
    """A start that failed: a database without members, no log."""
    bootstrap: Path
    """One of three, started alone: the first configuration changes, nothing more."""
    young: Path
    """A single member with a few keys, stopped: its database has all of them."""
    grown: Path
    """A single member with snapshots and several segments, stopped."""
    cluster: str
    member: str
    young_url: str
    grown_cluster: str
    grown_member: str


def copied(source: Path, target: Path) -> Path:
    """A copy to damage. Holes stay holes: most of a segment is zeros."""
    shutil.copytree(source, target, symlinks=True)
    return target


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Addresses that nobody else uses."""
    found = Network()
    yield found
    found.close()


@pytest.fixture(scope="session")
def made_of(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """The directories of one release, made at the first call."""
    kept: dict[str, Made] = {}

    def make(version: str) -> Made:
        if version not in kept:
            kept[version] = _make(find(version), tmp_path_factory.mktemp(f"etcd-{version}-"), network)
        return kept[version]

    return make


@pytest.fixture(params=VERSIONS)
def made(request: pytest.FixtureRequest, made_of: Callable[[str], Made]) -> Made:
    """The directories of every release in turn."""
    return made_of(request.param)


@pytest.fixture
def made_36(made_of: Callable[[str], Made]) -> Made:
    """The directories of the newest release."""
    return made_of(VERSIONS[-1])


@pytest.fixture(params=VERSIONS)
def every_etcd(request: pytest.FixtureRequest) -> Server:
    """A real server of every release in turn."""
    return find(request.param)


@pytest.fixture
def start(network: Network, tmp_path: Path) -> Iterator[Callable[..., Etcd]]:
    """Makes servers, started or not, and ends them all."""
    made: list[Etcd] = []

    def make(server: Server, name: str = "m0", host: str = "", **keys: object) -> Etcd:
        made.append(Etcd(server, tmp_path / name, host or network.another(), name, keys))
        return made[-1]

    yield make
    for etcd in made:
        etcd.kill()


def _make(server: Server, root: Path, network: Network) -> Made:
    failed = Etcd(server, root / "failed", network.another(), keys={"initial-cluster-state": "existing"})
    failed.start()
    assert failed.exit_code() != 0
    assert (failed.data_dir / "member" / "snap" / "db").exists()

    lone = Etcd(server, root / "lone", network.another())
    others = ",".join(f"m{i}=http://{network.another()}:2380" for i in (1, 2))
    lone.keys["initial-cluster"] = f"m0={lone.peer_url},{others}"
    lone.start()
    lone.until(lambda: "became" in lone.log and "term 1" in lone.log, "it has begun")
    lone.until(lambda: any((lone.data_dir / "member" / "wal").glob("*.wal")), "it has a log")
    lone.until(lambda: "pre-candidate" in lone.log, "it has applied its bootstrap and looks for the others")
    lone.kill()

    young = Etcd(server, root / "young", network.another())
    young.start()
    young.until_serving()
    for number in range(3):
        young.put(f"key{number}", "value")
    ids = young.ids()
    young.stop()

    grown = Etcd(server, root / "grown", network.another(), keys={"snapshot-count": 20})
    grown.start()
    grown.until_serving()
    for number in range(70):
        grown.put(f"key{number % 4}", "x" * BIG)
    for number in range(50):
        grown.put("key", f"{number}")
    grown_ids = grown.ids()
    grown.stop()
    return Made(
        server, failed.data_dir, lone.data_dir, young.data_dir, grown.data_dir, *ids, young.peer_url, *grown_ids
    )
