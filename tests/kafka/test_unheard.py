"""A broker that runs and that its controllers' leader does not hear of."""

from __future__ import annotations

from peerboot.model import ClusterView
from peerboot.systems.kafka.unheard import PATIENCE, Unheard
from tests.kafka.test_assess import replica
from tests.kafka.test_brokers import config, view


def told(one: Unheard, seen: ClusterView, *, now: float, runs: bool = True) -> list[tuple[str, str]]:
    """Name and Pod of each sentence."""
    return [(f.name, f.pod) for f in one.told(config(), seen, runs=runs, now=now).findings]


def test_one_that_the_leader_hears_of_is_well() -> None:
    """However long it takes until it serves: it reads its logs through, and fetches meanwhile."""
    heard = view(replica(100, "b0"), replica(101, "b1"), serves=False)
    assert [told(Unheard(), heard, now=now) for now in (0.0, 2 * PATIENCE)] == [[], []]


def test_one_that_it_does_not_hear_of_is_named_once_it_has_lasted() -> None:
    """And no more when it stops, when nobody leads, or when it is heard of."""
    unheard, one = view(replica(100, "b0")), Unheard()
    assert told(one, unheard, now=10.0) == []
    assert told(one, unheard, now=9.0 + PATIENCE) == []
    assert told(one, unheard, now=10.0 + PATIENCE) == [("broker-unheard", "kafka-1")]
    for change in (
        {"seen": unheard, "runs": False},
        {"seen": ClusterView(), "runs": True},
        {"seen": view(replica(101, "b1")), "runs": True},
    ):
        assert told(one, now=11.0 + PATIENCE, **change) == []  # type: ignore[arg-type]
        assert told(one, unheard, now=12.0 + PATIENCE) == []
        assert told(one, unheard, now=12.0 + 2 * PATIENCE) == [("broker-unheard", "kafka-1")]


def test_the_sentence_says_what_to_do() -> None:
    """One line that names the Pod, the cause and the command."""
    one = Unheard()
    for now in (0.0, PATIENCE):
        found = one.told(config(), view(), runs=True, now=now).findings
    assert [
        word for word in ("kafka-1", "KAFKA-19354", "`kubectl delete pod kafka-1`") if word not in found[0].say
    ] == []
