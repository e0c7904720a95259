"""Brokers that are a set of their own: what of the controllers' leader's word is theirs, and why there is none."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from peerboot.model import ClusterView
from peerboot.outside.kafka.values import Replica
from peerboot.systems.kafka import assess, brokers, health
from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.prepared import Kafka
from tests.kafka.test_assess import quorum, replica
from tests.kafka.test_config import identity, made

ADDRESSES = {f"kafka-{n}": (f"10.0.0.{n}",) for n in range(3)}


def config(base: str = "100") -> KafkaConfig:
    """kafka-1 of three brokers."""
    return made(
        identity("kafka-1"), PEERBOOT_KAFKA_ROLES="broker", PEERBOOT_KAFKA_CONTROLLERS="controllers",
        PEERBOOT_KAFKA_NODE_ID_BASE=base,
    )  # fmt: skip


def view(*observers: Replica, base: str = "100", serves: bool = True) -> ClusterView:
    """The view of kafka-1, by what the leader of the controllers 0, 1 and 2 said."""
    found = quorum(replica(1, "d1"), replica(2, "d2"), observers=observers)
    there = config(base)
    view = brokers._view(there, assess.Seen("", "10.1.0.0", "c1", 0, found), ADDRESSES, 5.0)
    return health.with_word(there, view, health.Word(serves))


def test_the_brokers_that_follow_are_the_members() -> None:
    """Those of this set, each under its node id and its metadata directory's id; no controller is among them, no broker
    of another set, and none that is gone.
    """
    gone = replica(102, "b2", fetched=9000)
    found = view(replica(100, "b0"), replica(101, "b1"), gone, replica(205, "x"))
    assert (found.quorum, found.cluster, found.unmanaged) == (True, "c1", "")
    assert [(m.id, m.pod, m.learner, m.started) for m in found.members] == [
        ("100:b0", "kafka-0", False, True),
        ("101:b1", "kafka-1", False, True),
    ]
    assert [(v.pod, v.address, v.healthy, v.open) for v in found.views] == [
        ("kafka-0", "10.0.0.0", True, True),
        ("kafka-1", "10.0.0.1", True, True),
    ]


def test_one_that_lags_or_is_fenced_serves_nobody() -> None:
    """It lags behind the metadata log: not healthy. It is not registered, or fenced: not open."""
    found = view(replica(101, "b1", caught_up=5000), serves=False)
    assert [(v.pod, v.healthy, v.open) for v in found.views] == [("kafka-1", False, False)]


def test_a_controllers_node_id_is_not_taken() -> None:
    """Without a base of its own this broker would be node 1, which is a controller: said before it is formatted."""
    expected = (
        "has a controller with node id 1, which would be this broker's too, and ids are unique over all sets. Set "
        "PEERBOOT_KAFKA_NODE_ID_BASE here, to 100 for example, while nothing of this Pod's lies on its disk; else take "
        "the other one away"
    )
    assert expected == view(base="0").unmanaged


def test_controllers_do_not_count_brokers_of_the_other_set() -> None:
    """For a controller an observer is one of its set only if its Pod is expected or seen in DNS."""
    told = quorum(observers=(replica(2, "n"), replica(3, "n"), replica(100, "b0")))
    mine = made(identity("kafka-1"), PEERBOOT_KAFKA_ROLES="controller")
    for addresses, expected in ((ADDRESSES, [2]), ({**ADDRESSES, "kafka-3": ("10.0.0.3",)}, [2, 3])):
        assert expected == [one.id for one in assess.observers_of(mine, told, addresses)]


@pytest.mark.parametrize(
    ("places", "answering", "leaders", "expected"),
    [
        pytest.param([], [], 0, "DNS gave no address for controllers.prod.svc.cluster.local", id="not-in-dns"),
        pytest.param(["a", "b"], [], 0, "a, b do not answer", id="silent"),
        pytest.param(["a", "b"], ["b"], 0, "b answers without; a does not answer", id="no-leader"),
        pytest.param(list("abcdefg"), list("abcdefg"), 0, "a, b, c, d, e and 2 more answer without", id="many"),
        pytest.param(
            ["a", "b"], ["a", "b"], 2, "behind controllers.prod.svc.cluster.local are leaders of 2 clusters: let it "
            "select one set's Pods only", id="two-clusters",
        ),
    ],
)  # fmt: skip
def test_why_there_is_no_quorum(places: list[str], answering: list[str], leaders: int, expected: str) -> None:
    """Who was asked, and what came of it."""
    seen = [assess.Seen("", address, "") for address in answering]
    assert expected == brokers._why_none(config(), places, seen, leaders)


async def test_nobody_is_there() -> None:
    """Nothing listens: a view without a quorum, which says so; it does not raise."""
    found = await brokers.look(
        config(), {"kafka-1": ("127.0.0.1",), "controllers.prod.svc.cluster.local": ("127.0.0.1",)},
        None, timeout=0.2, now=5.0, prefer="",
    )  # fmt: skip
    assert ClusterView(elsewhere="127.0.0.1 does not answer", at=5.0) == found


def test_the_name_that_is_resolved_too() -> None:
    """The controllers' Service is asked for at each look, and its short name is what people read."""
    found = Kafka(config(), Path("/run/peerboot"))
    assert (
        found.also_resolve,
        found.traits.quorum_of,
    ) == (("controllers.prod.svc.cluster.local",), "controllers.prod")
    assert Kafka(made(), Path("/run/peerboot")).traits.quorum_of == ""
    assert found.traits == msgspec.structs.replace(Kafka.traits, quorum_of="controllers.prod")
