"""What servers say of themselves, as the rules take it."""

from __future__ import annotations

from typing import Any

import pytest

from peerboot.model import ClusterView, Part, Registration, Standing
from peerboot.outside.postgres import Seen, Slot, Stream
from peerboot.systems.postgres import assess
from tests.postgres.test_config import identity, made

CONFIG = made(identity("pg-1"))


def answer(pod: str, **more: Any) -> assess.Answer:
    """A server of 17 in cluster 7, on timeline 2 at 100."""
    values: dict[str, Any] = {
        "version": 170010, "started": 1.0, "standby": True, "system": "7", "term": 2, "position": 100, "replayed": 100,
    }  # fmt: skip
    return assess.Answer(pod, "10.0.0.1", Seen(**{**values, **more}))


def primary(pod: str = "pg-0", **more: Any) -> assess.Answer:
    """It takes the writes."""
    return answer(pod, **{"standby": False, "position": 120, "replayed": 120, **more})


def standby(pod: str = "pg-1", **more: Any) -> assess.Answer:
    """It streams from the one that does."""
    return answer(pod, **{"receiving": "streaming", "received_term": 2, "upstream": "pg-0", **more})


def view(*answers: assess.Answer) -> ClusterView:
    """Of these answers."""
    return assess.view_of(CONFIG, answers, 1.0)


def healthy(found: ClusterView) -> list[str]:
    """The pods whose servers do their part."""
    return [one.pod for one in found.views if one.healthy]


def part_of(found: ClusterView, pod: str) -> Part:
    """What a pod's server says of its part."""
    one = found.view_of(pod)
    assert one is not None
    assert one.part is not None
    return one.part


def test_one_takes_the_writes() -> None:
    """It and those that copy it are the members."""
    found = view(primary(), standby(), standby("pg-2"))
    assert (found.quorum, found.cluster, [one.pod for one in found.members]) == (True, "7", ["pg-0", "pg-1", "pg-2"])
    assert {one.leader for one in found.views} == {"pg_0"}


@pytest.mark.parametrize(
    "more",
    [
        {"receiving": ""},
        {"receiving": "waiting"},
        {"received_term": 1},
        {"system": "8"},
        # It asked for log from the beginning of a file on, and gets it: what it has beyond is its own.
        {"position": 121},
    ],
    ids=lambda more: next(iter(more)),
)
def test_who_only_seems_to_copy_is_no_member(more: dict[str, Any]) -> None:
    """A server that answers and is read by all is not one that copies."""
    found = view(primary(), standby(**more))
    assert (healthy(found), [one.pod for one in found.members]) == (["pg-0"], ["pg-0"])


def test_two_take_writes() -> None:
    """Then there is no cluster to speak of, and nobody is healthy."""
    found = view(primary(), primary("pg-2", term=3), standby())
    assert (found.quorum, found.members, healthy(found)) == (False, (), [])


def test_none_takes_writes() -> None:
    """The own server's cluster is known all the same; what is settled is where it stands."""
    found = view(standby(receiving="", settled=True), standby("pg-2", receiving=""))
    assert (found.quorum, found.cluster) == (False, "7")
    assert [part_of(found, pod).standing for pod in ("pg-1", "pg-2")] == [Standing(term=2, position=100), None]


def test_who_copies_is_told_by_the_one_that_is_copied() -> None:
    """By the names of their slots, while they stream."""
    streams = tuple(
        Stream(name=name, state=state, sync=sync)
        for name, state, sync in (("pg_1", "streaming", "quorum"), ("pg_2", "catchup", "async"), ("x", "streaming", ""))
    )
    found = view(primary(streams=streams), standby())
    assert (part_of(found, "pg-0").copied_by, part_of(found, "pg-1").sync) == (("pg-1",), "quorum")


def test_slots_of_pods_that_are_away() -> None:
    """Those of this set that nobody uses, for the rules to tell who was scaled away; not somebody else's."""
    slots = tuple(
        Slot(name=name, active=active, wal_status="reserved", safe_wal_size=-1)
        for name, active in (("pg_1", False), ("pg_3", False), ("pg_4", True), ("backup", False), ("pg_x", False))
    )
    expected = (Registration(pod="pg-1", id="pg_1"), Registration(pod="pg-3", id="pg_3"))
    assert expected == view(primary(slots=slots)).registrations


def test_who_does_not_let_peerboot_in_is_named() -> None:
    """It is a finding of its own, and counts as unreachable."""
    shut = assess.Answer("pg-2", "", None, "password authentication failed")
    found = view(primary(), shut)
    assert (found.unreachable, [one.pod for one in found.findings]) == (("pg-2",), ["pg-2"])


def gauges(pod: str, *answers: assess.Answer) -> dict[str, float]:
    """What the metrics of that pod have."""
    return {one.name: one.value for one in assess.with_gauges(view(*answers), pod).gauges}


def test_metrics_are_of_the_own_server() -> None:
    """The one that takes writes has copies, the others whether they copy and how far behind; nothing without a word."""
    writes = {"postgres_writes": 1, "postgres_timeline": 2, "postgres_copies": 0}
    assert writes == gauges("pg-0", primary(), standby())
    copies = gauges("pg-1", primary(), standby())
    assert ("postgres_writes" in copies, copies["postgres_writes"], "postgres_streams" in copies) == (True, 0, True)
    assert gauges("pg-2", primary(), standby()) == {}
