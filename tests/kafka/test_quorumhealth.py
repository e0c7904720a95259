"""What is told of the controllers' quorum: numbers and warnings."""

from __future__ import annotations

import pytest

from peerboot.model import ClusterView, Member
from peerboot.systems.kafka import quorumhealth
from tests.kafka.test_assess import quorum, replica
from tests.kafka.test_config import identity, made
from tests.kafka.test_health import gauges


def view(voters: int) -> ClusterView:
    """A cluster with so many voters."""
    return ClusterView(
        quorum=True, cluster="c1", members=tuple(Member(id=f"{n}:d", pod=f"kafka-{n}") for n in range(voters))
    )


@pytest.mark.parametrize(
    ("voters", "expected", "says"),
    [(1, 1, ""), (2, 2, "is lost with either"), (3, 3, ""), (4, 4, "make it 3 or 5"), (4, 5, ""), (4, None, "3 or 5")],
    ids=["1", "2", "3", "4", "4 on the way to 5", "4, nobody knows of how many"],
)
def test_an_even_number_of_controllers(voters: int, expected: int | None, says: str) -> None:
    """It is warned of where it is meant to stay."""
    config = made(identity("kafka-0", replicas=expected))
    found = quorumhealth.with_quorum(config, view(voters), None, 0, 0).findings
    assert [finding.name for finding in found] == ["even-controllers"] * bool(says)
    assert all(says in finding.say for finding in found)


@pytest.mark.parametrize(("level", "warned"), [(0, False), (20, False), (21, True), (22, False)])
def test_kafka_3_9_is_warned_of(level: int, warned: bool) -> None:
    """By what its controller supports; one that did not answer says nothing of its release."""
    found = quorumhealth.with_quorum(made(), view(3), None, level, 0).findings
    assert [finding.name for finding in found] == ["kafka-3.9"] * warned


def test_lags() -> None:
    """Behind the furthest: this Pod's own, the last voter's, the last observer's that fetches; brokers observe too."""
    observers = (replica(7, "b7", end=10), replica(8, "b8", end=0, fetched=60_000))
    told = quorum(replica(1, "d1", end=45), replica(2, "d2", end=20), observers=observers)
    found = gauges(quorumhealth.with_quorum(made(identity("kafka-1")), view(3), told, 27, 0))
    assert found == {"leader_known": 1, "observers": 1, "lag": 5, "voter_lag_max": 30, "observer_lag_max": 40}


def test_a_controller_that_knows_no_leader() -> None:
    """No quorum, no lags."""
    found = quorumhealth.with_quorum(made(), ClusterView(), None, 27, -1)
    assert gauges(found) == {"leader_known": 0}


def test_its_former_self_is_not_its_own_lag() -> None:
    """An entry of a disk that is gone stays listed for a while: the one that fetches is this Pod's."""
    told = quorum(replica(1, "old", end=1, fetched=60_000), replica(2, "d2"), observers=(replica(1, "new", end=48),))
    assert gauges(quorumhealth.with_quorum(made(identity("kafka-1")), view(3), told, 27, 0))["lag"] == 2
