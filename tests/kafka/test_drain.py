"""Where replicas go when brokers are drained: nothing is lost, nothing doubled, racks apart; and what is refused."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from peerboot.systems.kafka import drain
from peerboot.systems.kafka.drain import Broker, Part, Step

BROKERS = {number: Broker(id=number) for number in range(4)}


def part(*replicas: int, index: int = 0, topic: str = "orders", **more: object) -> Part:
    """A partition that is well."""
    known = {"in_sync": replicas, "leader": replicas[0], **more}
    return Part(topic=topic, index=index, replicas=replicas, **known)  # type: ignore[arg-type]  # they are its fields


def after(parts: list[Part], leaving: set[int], brokers: dict[int, Broker] | None = None) -> list[tuple[int, ...]]:
    """The new lists, in order."""
    return [step.after for step in drain.steps(parts, brokers or BROKERS, leaving)]


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Part], dict[int, Broker], set[int]]:
    """Brokers, some of them dead, partitions on any of them, and some that leave; enough brokers stay."""
    racks = draw(st.sampled_from([[""], ["a", "b"], ["a", "b", "c"], ["a", ""]]))
    brokers = {
        number: Broker(id=number, rack=draw(st.sampled_from(racks)), alive=draw(st.sampled_from([True, True, False])))
        for number in range(draw(st.integers(2, 9)))
    }
    leaving = draw(st.sets(st.sampled_from(sorted(brokers)), min_size=1, max_size=3))
    stay = [one for one in brokers.values() if one.alive and one.id not in leaving]
    assume(stay)
    parts = [
        part(
            *draw(st.lists(st.sampled_from(sorted(brokers)), min_size=1, max_size=len(stay), unique=True)), index=index
        )
        for index in range(draw(st.integers(0, 12)))
    ]
    return parts, brokers, leaving


class TestAnyCluster:
    """Properties."""

    @given(clusters())
    def test_no_replica_is_lost_or_doubled_and_none_stays(
        self, cluster: tuple[list[Part], dict[int, Broker], set[int]]
    ) -> None:
        """As many replicas, all at different brokers, none at one that leaves, new ones only at brokers that live; what
        stays keeps its place. Partitions that have none there are not touched.
        """
        parts, brokers, leaving = cluster
        assume(not drain.too_few(parts, brokers, leaving))
        found = {step.index: step for step in drain.steps(parts, brokers, leaving)}
        assert set(found) == {one.index for one in parts if leaving & set(one.replicas)}
        for one in parts:
            if (step := found.get(one.index)) is None:
                continue
            assert step.before == one.replicas
            assert len(set(step.after)) == len(step.after) == len(one.replicas)
            assert leaving & set(step.after) == set()
            assert [n for n, o in zip(step.after, one.replicas, strict=True) if o not in leaving] == [
                o for o in one.replicas if o not in leaving
            ]
            assert all(brokers[node].alive for node in step.added)

    @given(clusters())
    def test_racks_are_apart_while_there_are_enough(
        self, cluster: tuple[list[Part], dict[int, Broker], set[int]]
    ) -> None:
        """A new replica shares a rack with another of its partition only where all other racks have no broker left."""
        parts, brokers, leaving = cluster
        stay = {one.id: one.rack for one in brokers.values() if one.alive and one.id not in leaving}
        assume(all(stay.values()) and not drain.too_few(parts, brokers, leaving))
        for step in drain.steps(parts, brokers, leaving):
            racks = Counter(stay[node] for node in step.after if node in stay)
            free = {rack for node, rack in stay.items() if node not in step.after} - set(racks)
            assert not free or all(racks[stay[node]] == 1 for node in step.added)

    @given(st.integers(2, 6), st.integers(1, 40))
    def test_brokers_get_equally_many(self, stay: int, count: int) -> None:
        """Without racks and with nothing else there, the replicas of one broker are spread evenly over the others."""
        brokers = {number: Broker(id=number) for number in range(stay + 1)}
        got = Counter(new[0] for new in after([part(0, index=index) for index in range(count)], {0}, brokers))
        spread = [got[number] for number in range(1, stay + 1)]
        assert max(spread) - min(spread) <= 1


class TestPlan:
    """Told by hand."""

    def test_the_leader_that_stays_is_the_preferred_one_still(self) -> None:
        """Only the place of the one that leaves is filled anew."""
        assert after([part(0, 3, 1)], {3}) == [(0, 2, 1)]

    def test_the_emptiest_broker_gets_it(self) -> None:
        """By the number of replicas, which those planned before count for."""
        full = [part(0, 1, index=index) for index in range(3)]
        assert after([*full, part(3, index=7), part(3, index=8)], {3}) == [(2,), (2,)]

    def test_preferred_leaders_are_spread(self) -> None:
        """Of two with as many replicas the one that leads fewer takes the first place."""
        parts = [part(0, 1, index=0), part(0, 1, index=1), part(3, 2, index=2)]
        assert after(parts, {3}) == [(1, 2)]

    def test_another_rack_comes_before_the_emptiest(self) -> None:
        """Two replicas in one rack are lost together."""
        racks = {0: "a", 1: "a", 2: "b", 3: "b"}
        brokers = {number: Broker(id=number, rack=rack) for number, rack in racks.items()}
        busy = [part(2, index=index) for index in range(5)]
        assert after([*busy, part(0, 3, index=9)], {3}, brokers) == [(0, 2)]

    def test_racks_count_only_where_all_have_one(self) -> None:
        """As Kafka has it: a broker without a rack could be anywhere."""
        brokers = {0: Broker(id=0, rack="a"), 1: Broker(id=1, rack="a"), 2: Broker(id=2), 3: Broker(id=3)}
        assert after([part(2, index=7), part(0, 3)], {3}, brokers) == [(0, 1)]

    def test_two_leave_at_once(self) -> None:
        """Neither is a place for the other's."""
        brokers = BROKERS | {4: Broker(id=4)}
        assert after([part(3, 4, 0)], {3, 4}, brokers) == [(1, 2, 0)]

    def test_a_dead_broker_gets_nothing(self) -> None:
        """Kafka would take it for a target, and the move would hang."""
        brokers = BROKERS | {1: Broker(id=1, alive=False)}
        assert after([part(0, 3)], {3}, brokers) == [(0, 2)]

    def test_what_an_earlier_run_began_is_left_to_end(self) -> None:
        """A move that takes the replica away and goes to living brokers is not planned again; one to a dead one is."""
        one = part(0, 1, before=(0, 3))
        dead = BROKERS | {1: Broker(id=1, alive=False)}
        assert (after([one], {3}), after([one], {3}, dead)) == ([], [(0, 2)])
        assert (drain.adopted(one, {3}, BROKERS), drain.adopted(one, {3}, dead)) == (True, False)

    def test_batches(self) -> None:
        """In order, none larger than asked."""
        todo = drain.steps([part(3, index=index) for index in range(5)], BROKERS, {3})
        assert [[step.index for step in batch] for batch in drain.batches(todo, 2)] == [[0, 1], [2, 3], [4]]


REFUSED = {
    "more-replicas-than-brokers": (
        drain.too_few([part(0, 1, 2, 3), part(3, topic="few")], BROKERS, {3}),
        ("orders has 4 replicas of a partition, and 3 other brokers are alive", "start or add brokers first"),
    ),
    "of-several-topics": (
        drain.too_few([part(0, 3), part(0, 3, topic="more")], {3: Broker(id=3), 0: Broker(id=0)}, {3}),
        ("more has 2 replicas of a partition (as has orders), and 1 other broker is alive", "or lower its replication"),
    ),
    "a-partition-without-a-leader": (
        drain.stuck([part(3, 1, leader=-1, in_sync=(3,))], BROKERS, {3}),
        ("orders-0 has no leader, so there is nothing to copy from", "start the brokers that have it (1, 3) first"),
    ),
    "too-few-in-sync": (
        drain.stuck([part(0, 3, 1, in_sync=(0,), least=2)], BROKERS, {3}),
        (
            "orders-0 has fewer replicas in sync than min.insync.replicas (orders-0: 1 of 2)",
            "bring those that lag back",
        ),
    ),
    "somebody-elses-reassignment": (
        drain.foreign([part(3, 1, before=(3, 0), index=number) for number in range(5)], BROKERS, {3}),
        ("a reassignment of orders-0, orders-1, orders-2 and 2 more is under way", "wait until"),
    ),
    "another-replica-is-down": (
        drain.lame([part(3, 1), part(0, 3, 2, index=1)], BROKERS | {1: Broker(id=1, alive=False)}, {3}),
        (
            "orders-0 has a replica at broker 1 too, which is down, and Kafka ends a move only when",
            "start it, or name it",
        ),
    ),
    "no-room": (
        drain.too_full([Step(topic="a", index=0, before=(3,), after=(1,), size=2000)], {1: Broker(id=1, free=1500)}),
        ("broker 1 would get 2.0 kB and has 1.5 kB free", "enlarge its volume"),
    ),
}


@pytest.mark.parametrize(("said", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_says_what_to_do(said: str, expected: tuple[str, str]) -> None:
    """One line: what and why, then what to do."""
    why, do = expected
    assert (said.startswith(why), do in said[len(why) :], said.isprintable()) == (True, True, True), said


ALLOWED = {
    "enough-brokers": drain.too_few([part(0, 1, 3)], BROKERS, {3}),
    "a-large-topic-elsewhere": drain.too_few([part(0, 1, 2)], {n: BROKERS[n] for n in (0, 3)}, {3}),
    "the-only-good-copy-leads-there": drain.stuck([part(3, 1, 2, in_sync=(3,), least=2)], BROKERS, {3}),
    "a-topic-elsewhere-is-offline": drain.stuck([part(0, leader=-1)], BROKERS, {3}),
    "min-isr-above-the-replicas": drain.stuck([part(3, least=2)], BROKERS, {3}),
    "an-earlier-run-of-its-own": drain.foreign([part(0, 1, before=(0, 3))], BROKERS, {3}),
    "a-reassignment-elsewhere": drain.foreign([part(0, 1, before=(0, 2))], BROKERS, {3}),
    "the-one-that-is-down-is-drained-too": drain.lame([part(3, 1)], BROKERS | {1: Broker(id=1, alive=False)}, {1, 3}),
    "nothing-known-of-disks": drain.too_full([Step(topic="a", index=0, before=(3,), after=(1,), size=9)], BROKERS),
}


@pytest.mark.parametrize("said", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_is_not_refused(said: str) -> None:
    """No reason, no words."""
    assert said == ""


def test_a_dead_broker_is_no_source() -> None:
    """With too few in sync, the leader of before counts only while it lives."""
    dead = BROKERS | {3: Broker(id=3, alive=False)}
    assert drain.stuck([part(3, 1, in_sync=(3,), least=2)], dead, {3}) != ""


def test_the_only_copies_are_named() -> None:
    """Those with one replica, and those whose leader is alone in sync; not those that are well."""
    parts = [part(3), part(3, 1, index=1), part(3, 1, 2, index=2, in_sync=(3,), least=2)]
    assert [one.index for one in drain.only_copies(parts, BROKERS, {3})] == [0, 2]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (10**16, "10000.0 TB")]
)
def test_amounts(size: int, text: str) -> None:
    """For a person."""
    assert drain.amount(size) == text
