"""When a static quorum may become a dynamic one: what is in the way, by name."""

from __future__ import annotations

import pytest

from peerboot.outside.kafka.values import Feature, Quorum, Replica, Server
from peerboot.systems.kafka import migrate
from tests.kafka.test_assess import NOW_MS, quorum, replica
from tests.kafka.test_config import identity, made

LOW = (
    "the cluster's metadata.version is 19, and it takes 21 (3.9) at least (`kafka-features.sh upgrade "
    "--feature metadata.version=21`)"
)


def asked(node: int, *, most: int = 27, level: int = 27, leads: bool = False) -> migrate.Asked:
    """One controller of that release, in a cluster of that level."""
    server = Server(
        ranges={},
        supported=(Feature(name="metadata.version", least=1, most=most),),
        finalized=(Feature(name="metadata.version", least=level, most=level),),
    )
    return migrate.Asked(f"kafka-{node}", f"10.0.0.{node}", server, static() if leads else None, "c1")


def static(*others: Replica) -> Quorum:
    """Led by node 0; 1 and 2 follow unless told otherwise."""
    found = quorum(*(others or (replica(1, ""), replica(2, ""))))
    leader = Replica(id=0, directory="", end_offset=50, fetched_ms=NOW_MS, caught_up_ms=NOW_MS)
    return Quorum(leader=0, epoch=3, high_watermark=49, voters=(leader, *found.voters[1:]), observers=())


ALL = (asked(0, leads=True), asked(1), asked(2))


@pytest.mark.parametrize(
    ("told", "there", "found"),
    [
        pytest.param(static(), ALL, [], id="nothing"),
        pytest.param(static(), ALL[:2], ["kafka-2 does not answer"], id="one is away"),
        pytest.param(
            static(replica(1, "", caught_up=2001), replica(2, "")),
            ALL,
            ["kafka-1 is not in sync with the leader"],
            id="one lags",
        ),
        pytest.param(
            static(),
            (asked(0, most=21), asked(1), asked(2, most=25)),
            [
                "kafka-0 runs a Kafka older than 4.1, which cannot do it, whatever it answers",
                "kafka-2 runs a Kafka older than 4.1, which cannot do it, whatever it answers",
            ],
            id="3.9 and 4.0",
        ),
        pytest.param(
            static(),
            tuple(asked(n, level=19) for n in range(3)),
            [LOW],
            id="features of 3.7",
        ),
    ],
)
def test_what_is_in_the_way(told: Quorum, there: tuple[migrate.Asked, ...], found: list[str]) -> None:
    """All voters are there, in sync, and of 4.1 or later; each that is not is named."""
    assert migrate.hindrances(made(identity("kafka-1")), told, there) == found


def test_two_leaders_are_none() -> None:
    """One that was deposed and does not know it yet may answer beside the new one: then nothing is changed."""
    assert migrate.leader_of(ALL) == ALL[0]
    assert migrate.leader_of((*ALL, asked(3, leads=True))) is None
