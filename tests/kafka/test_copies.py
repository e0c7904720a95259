"""What had its last good copy on a lost disk: by Metadata, by the controllers, and when nobody can tell."""

from __future__ import annotations

import msgspec
import pytest

from peerboot.model import ClusterView, ServerView
from peerboot.outside.kafka.values import Metadata, Node, Partition, Topic
from peerboot.systems.kafka import copies
from peerboot.systems.kafka.copies import Found
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


SOON = "the cluster takes this broker for in sync still, with told-0"


@pytest.mark.parametrize(
    ("replicas", "in_sync", "alive", "expected"),
    [
        pytest.param((0, 1, 2), (1, 2), (1, 2), Found(), id="out-of-the-isr"),
        pytest.param((0, 1, 2), (0, 1, 2), (1, 2), Found(soon=SOON), id="not-noticed-yet"),
        pytest.param((0, 1, 2), (0,), (1, 2), Found(only_here=("told-0",)), id="alone-in-sync"),
        pytest.param((0,), (0,), (1, 2), Found(only_here=("told-0",)), id="one-copy"),
        pytest.param((0, 1, 2), (0, 1), (2,), Found(only_here=("told-0",)), id="the-other-is-gone"),
        pytest.param((0, 1, 2), (1,), (2,), Found(), id="not-in-sync-cannot-lead"),
        pytest.param((0, 1, 2), (), (1, 2), Found(only_here=("told-0",)), id="nobody-in-sync"),
        pytest.param((1, 2), (1,), (2,), Found(), id="no-replica-here"),
        pytest.param((0, 1, 2), (0, 1, 2), (), Found(only_here=("told-0",)), id="nobody-is-there"),
    ],
)
def test_what_may_lead_empty(
    replicas: tuple[int, ...], in_sync: tuple[int, ...], alive: tuple[int, ...], expected: Found
) -> None:
    """Whoever is out of every ISR may start: it comes back to one only with everything, whatever happens to others."""
    assert expected == copies.judge(made(identity()), told((replicas, in_sync), alive=alive), set())


def test_what_is_on_another_directory_is_not_lost() -> None:
    """A folder that is there still counts; many names are cut short."""
    rows = told(*(((0, 1), (0, 1)) for _ in range(9)))
    expected = Found(soon=f"{SOON}, told-1, told-3, told-4, told-5 and 3 more")
    assert expected == copies.judge(made(identity()), rows, {"told-2"})


def test_what_a_broker_does_not_tell() -> None:
    """A topic that is answered with an error may hold anything."""
    answer = msgspec.structs.replace(told(), topics=(Topic(name="x", id="", internal=False, partitions=(), error=29),))
    expected = Found(untold="the brokers tell nothing of topic x: error 29")
    assert expected == copies.judge(made(identity()), answer, set())


def test_another_sets_broker_has_the_id() -> None:
    """A broker that is alive under this node's id advertises another host."""
    answer = msgspec.structs.replace(told(), brokers=(Node(id=0, host="else-0.other", port=9092),))
    assert Found(clash="else-0.other:9092") == copies.judge(made(identity()), answer, set())


@pytest.mark.parametrize(
    ("registered", "metadata", "expected"),
    [
        pytest.param(False, "silent", Found(), id="first-day"),
        pytest.param(
            None, "silent", Found(untold="no other broker of this set answers (kafka-1: silent)"), id="nobody"
        ),
        pytest.param(
            True, "silent", Found(untold="no other broker of this set answers (kafka-1: silent)"), id="no-broker"
        ),
        pytest.param(False, told(((0, 1), (0,))), Found(only_here=("told-0",)), id="unregistered-and-in-sync"),
        pytest.param(
            True, msgspec.structs.replace(told(), cluster="c2"),
            Found(untold="no other broker of this set answers (kafka-1 is of cluster c2)"), id="another-cluster",
        ),
    ],
)  # fmt: skip
async def test_who_is_believed(
    monkeypatch: pytest.MonkeyPatch, registered: bool | None, metadata: Metadata | str, expected: Found
) -> None:
    """Brokers of this cluster whose metadata is fresh; that a node is unknown counts only where none answers."""

    async def known(*_: object) -> bool | None:
        return registered

    async def describe(*_: object) -> Metadata | str:
        return metadata

    monkeypatch.setattr(copies, "is_registered", known)
    monkeypatch.setattr(copies, "_metadata", describe)
    seen = (
        ServerView(pod="kafka-1", address="127.0.0.1", healthy=True),
        ServerView(pod="kafka-2", address="127.0.0.1"),
    )
    view = ClusterView(quorum=True, cluster="c1", views=seen)
    addresses = {f"kafka-{n}": ("127.0.0.1",) for n in range(3)}
    assert expected == await copies.look(made(identity()), view, addresses, 0.2)


async def test_nobody_listens() -> None:
    """With nobody to ask it is not known, and nothing is raised."""
    seen = (ServerView(pod="kafka-1", address="127.0.0.1", healthy=True),)
    for view in (ClusterView(quorum=True, views=seen), ClusterView()):
        found = await copies.look(made(identity()), view, {"kafka-1": ("127.0.0.1",)}, 0.2)
        assert (found.untold[:35], found.only_here, found.soon) == ("no other broker of this set answers", (), "")
