"""What had its last good copy on a lost disk: by Metadata, by the controllers, and when nobody can tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerboot.model import ClusterView
from peerboot.outside.kafka.values import Metadata, Node, Partition, Topic
from peerboot.systems.kafka import copies
from tests.kafka.test_config import identity, made


def told(*rows: tuple[tuple[int, ...], tuple[int, ...]], alive: tuple[int, ...] = (1, 2)) -> Metadata:
    """One topic with these partitions: replicas and in-sync replicas."""
    partitions = tuple(
        Partition(index=n, leader=-1, epoch=0, replicas=replicas, in_sync=in_sync, offline=())
        for n, (replicas, in_sync) in enumerate(rows)
    )
    return Metadata(
        cluster="c1",
        controller=1,
        brokers=tuple(Node(id=n, host="h", port=9092) for n in alive),
        topics=(Topic(name="told", id="", internal=False, partitions=partitions),),
    )


@pytest.mark.parametrize(
    ("replicas", "in_sync", "alive", "expected"),
    [
        pytest.param((0, 1, 2), (0, 1, 2), (1, 2), [], id="others-have-it"),
        pytest.param((0, 1, 2), (0,), (1, 2), ["told-0"], id="alone-in-sync"),
        pytest.param((0,), (0,), (1, 2), ["told-0"], id="one-copy"),
        pytest.param((0, 1, 2), (0, 1), (2,), ["told-0"], id="the-other-is-gone"),
        pytest.param((0, 1, 2), (1,), (2,), [], id="not-in-sync-cannot-lead"),
        pytest.param((0, 1, 2), (), (1, 2), ["told-0"], id="nobody-in-sync"),
        pytest.param((1, 2), (1,), (2,), [], id="no-replica-here"),
        pytest.param((0, 1, 2), (0, 1, 2), (0,), ["told-0"], id="itself-does-not-count"),
    ],
)
def test_which_are_endangered(
    replicas: tuple[int, ...], in_sync: tuple[int, ...], alive: tuple[int, ...], expected: list[str]
) -> None:
    """Those that node 0 may lead although no other that is there is in sync."""
    assert expected == copies.endangered(told((replicas, in_sync), alive=alive), 0)


@pytest.mark.parametrize(
    ("registered", "metadata", "expected"),
    [
        pytest.param(False, None, ((), ""), id="never-a-broker"),
        pytest.param(None, None, ((), "no controller says whether node 0 was a broker before"), id="no-controller"),
        pytest.param(True, None, ((), "no other broker of this set answers"), id="no-broker"),
        pytest.param(True, told(((0, 1), (0,)), ((0, 1), (0,))), (("told-1",), ""), id="one-is-on-another-directory"),
    ],
)
async def test_what_is_only_here(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    registered: bool | None,
    metadata: Metadata | None,
    expected: tuple[tuple[str, ...], str],
) -> None:
    """A node that was no broker had nothing; what nobody can tell is said; a folder that is there still is not lost."""

    async def is_registered(*_: object) -> bool | None:
        return registered

    async def describe(*_: object) -> Metadata | None:
        return metadata

    monkeypatch.setattr(copies, "_is_registered", is_registered)
    monkeypatch.setattr(copies, "_metadata", describe)
    (tmp_path / "two" / "told-0").mkdir(parents=True)
    config = made(
        identity(), PEERBOOT_DATA_DIR=str(tmp_path / "m"), PEERBOOT_KAFKA_LOG_DIRS=f"{tmp_path}/one,{tmp_path}/two"
    )
    addresses = {"kafka-0": ("127.0.0.1",), "kafka-1": ("127.0.0.1",)}
    assert expected == await copies.look(config, ClusterView(quorum=True, cluster="c1"), addresses, 0.2)


async def test_nobody_listens() -> None:
    """With nobody to ask it is not known, and nothing is raised."""
    expected = ((), "no controller says whether node 0 was a broker before")
    for view in (ClusterView(quorum=True), ClusterView()):
        assert expected == await copies.look(made(identity()), view, {"kafka-1": ("127.0.0.1",)}, 0.2)
