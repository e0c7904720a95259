"""What the leader's word becomes: members, who is there, who is in sync, and whether a quorum stands."""

from __future__ import annotations

from peerboot.model import ClusterView
from peerboot.outside.kafka.values import Endpoint, Quorum, QuorumNode, Replica
from peerboot.systems.kafka import assess
from tests.kafka.test_config import identity, made

NOW_MS = 1_700_000_000_000
ADDRESSES = {f"kafka-{n}": (f"10.0.0.{n}",) for n in range(4)}


def replica(node: int, directory: str, *, fetched: int = 100, caught_up: int = 100, end: int = 50) -> Replica:
    """Milliseconds ago; negative: never."""
    return Replica(
        id=node,
        directory=directory,
        end_offset=end,
        fetched_ms=-1 if fetched < 0 else NOW_MS - fetched,
        caught_up_ms=-1 if caught_up < 0 else NOW_MS - caught_up,
    )


def quorum(*others: Replica, observers: tuple[Replica, ...] = (), high_watermark: int = 49) -> Quorum:
    """Node 0 leads."""
    leader = replica(0, "d0", fetched=0, caught_up=0)
    nodes = tuple(
        QuorumNode(id=n, endpoints=(Endpoint(listener="CONTROLLER", host=f"kafka-{n}.example", port=9093),))
        for n in range(3)
    )
    return Quorum(
        leader=0, epoch=3, high_watermark=high_watermark, voters=(leader, *others), observers=observers, nodes=nodes
    )


def view(found: Quorum, prefer: str = "", cluster: str = "c1") -> ClusterView:
    """The view of kafka-1, whose leader said this."""
    seen = [assess.Seen("kafka-0", "10.0.0.0", cluster, 0, found)]
    return assess._view(made(identity("kafka-1")), seen, (), ADDRESSES, prefer, 5.0)


def test_all_in_sync() -> None:
    """Each voter is a member of its pod and healthy by the leader's word, under node and directory id."""
    found = view(quorum(replica(1, "d1"), replica(2, "d2")))
    assert (found.quorum, found.cluster, found.unreachable) == (True, "c1", ())
    assert [(m.id, m.pod, m.learner, m.started) for m in found.members] == [
        ("0:d0", "kafka-0", False, True),
        ("1:d1", "kafka-1", False, True),
        ("2:d2", "kafka-2", False, True),
    ]
    assert [(v.pod, v.address, v.member, v.leader, v.healthy, v.learner) for v in found.views] == [
        ("kafka-0", "10.0.0.0", "0:d0", "0:d0", True, False),
        ("kafka-1", "10.0.0.1", "1:d1", "0:d0", True, False),
        ("kafka-2", "10.0.0.2", "2:d2", "0:d0", True, False),
    ]


def test_a_voter_that_lags_is_there_and_not_healthy() -> None:
    """It fetches, and was not caught up for longer than the fetch time-out."""
    found = view(quorum(replica(1, "d1"), replica(2, "d2", caught_up=2001)))
    assert [(v.pod, v.healthy) for v in found.views] == [("kafka-0", True), ("kafka-1", True), ("kafka-2", False)]


def test_a_silent_voter_is_unreachable() -> None:
    """It has not fetched for a while: it is listed, has no view, and does not count."""
    found = view(quorum(replica(1, "d1"), replica(2, "d2", fetched=4001)))
    assert ([v.pod for v in found.views], found.unreachable, len(found.members)) == (
        ["kafka-0", "kafka-1"],
        ("kafka-2",),
        3,
    )


def test_a_leader_without_a_majority_is_no_quorum() -> None:
    """One that was cut off from the others still says that it leads, for seconds."""
    found = view(quorum(replica(1, "d1", fetched=4001), replica(2, "d2", fetched=9000)))
    assert (found.quorum, found.members, [v.pod for v in found.views]) == (False, (), ["kafka-0"])


def test_a_leader_that_has_committed_nothing_is_no_quorum() -> None:
    """Its high watermark is not known yet."""
    assert view(quorum(replica(1, "d1"), replica(2, "d2"), high_watermark=-1)).quorum is False


def test_a_voter_that_never_fetched_has_not_started() -> None:
    """As one of a birth whose Pod is late."""
    found = view(quorum(replica(1, "d1"), replica(2, "d2", fetched=-1, caught_up=-1)))
    assert [(m.id, m.started) for m in found.members] == [("0:d0", True), ("1:d1", True), ("2:d2", False)]


def test_observers() -> None:
    """One that fetches is a learner; a dead one, and brokers of another set, are nobody's member."""
    observers = (
        replica(2, "new"),
        replica(2, "old", fetched=60_000),
        replica(3, "d3", end=10, caught_up=-1),
    )
    found = view(quorum(replica(1, "d1"), replica(2, "d2", fetched=60_000), observers=observers))
    assert [(m.id, m.learner, m.started) for m in found.members] == [
        ("0:d0", False, True),
        ("1:d1", False, True),
        ("2:d2", False, True),
        ("2:new", True, True),
        ("3:d3", True, True),
    ]
    assert [(v.member, v.healthy, v.applied) for v in found.views if v.learner] == [
        ("2:new", True, 50),
        ("3:d3", False, 10),
    ]
    low = made(identity("kafka-1"), PEERBOOT_KAFKA_NODE_ID_BASE="1")
    assert [m.id for m in assess.members_of(low, quorum(observers=(replica(0, "b"),)), ADDRESSES)] == ["0:d0"]


def test_of_two_clusters_the_own_one_counts() -> None:
    """Leaders of two clusters answer: the own data's decides; without any, nothing is known."""
    seen = [
        assess.Seen("kafka-0", "10.0.0.0", "c1", 0, quorum(replica(1, "d1"), replica(2, "d2"))),
        assess.Seen("kafka-3", "10.0.0.3", "c9", 0, quorum(replica(1, "d1"), replica(2, "d2"))),
    ]
    there = made(identity("kafka-1"))
    found = [assess._view(there, seen, (), ADDRESSES, prefer, 5.0) for prefer in ("c1", "c9", "")]
    assert [(v.quorum, v.cluster) for v in found] == [(True, "c1"), (True, "c9"), (False, "")]
    assert [(v.pod, v.cluster) for v in found[0].views if v.cluster != "c1"] == [("kafka-3", "c9")]


def test_names_that_a_joiner_needs() -> None:
    """Hosts of the other voters; addresses need no DNS, and observers are asked by nobody."""
    there = made(identity("kafka-1"))
    found = view(quorum(replica(1, "d1"), replica(2, "d2"), observers=(replica(3, "d3"),)))
    assert assess.hosts_of(there, found) == ("kafka-0.example", "kafka-2.example")
