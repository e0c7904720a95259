"""One look at this Pod's own broker: how many connections it takes, and that no part's error is another part's word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from peerboot.model import ClusterView
from peerboot.outside.http import Http
from peerboot.systems.kafka import registered
from peerboot.systems.kafka.prepared import Kafka
from tests.kafka.fake import Answer, Fake, fake, goodbye, say, silence
from tests.kafka.fake_cluster import BOTH, greeting
from tests.kafka.fake_cluster import Cluster as Quorum
from tests.kafka.test_config import identity, made
from tests.kafka.test_registered import Broker

CLUSTER, METADATA, QUORUM = 60, 3, 55
NO_CONFIGS = b"\0\0\0\0\1\0"
"""DescribeConfigs: of nothing."""
WAIT = 0.3
"""Seconds for an answer that never comes."""


class Own(NamedTuple):
    """Broker 0, whose set has lost broker 3, and the server that it is."""

    state: Broker
    server: Fake


@pytest.fixture
async def own() -> AsyncIterator[Own]:
    """All is well, but for broker 3, which is gone and has a replica still."""
    state, quorum = Broker(), Quorum()
    answers: dict[int, Answer] = {
        18: say(lambda _: greeting(BOTH | {METADATA: 13}, {"metadata.version": 30})),
        CLUSTER: say(state.cluster),
        METADATA: say(state.topics),
        32: say(NO_CONFIGS),
        QUORUM: say(lambda _: quorum.quorum()),
    }
    async with fake(answers) as server:
        yield Own(state, server)


def system(server: Fake, tmp_path: Path, roles: str) -> Kafka:
    """The first Pod's sidecar. Nobody answers as a controller."""
    environ: dict[str, Any] = {
        "PEERBOOT_KAFKA_BROKER_PORT": str(server.address.port),
        "PEERBOOT_KAFKA_CONTROLLER_PORT": "1",
    }
    if roles == "broker":
        environ["PEERBOOT_KAFKA_CONTROLLERS"] = "controllers"
    return Kafka(made(identity("kafka-0"), PEERBOOT_KAFKA_ROLES=roles, **environ), tmp_path)


async def looked(system: Kafka, *, timeout: float = 2.0) -> ClusterView:
    """One look."""
    return await system.look(Http(), {"kafka-0": ("127.0.0.1",)}, rest=True, timeout=timeout, now=0.0)


def replicas(view: ClusterView) -> list[float]:
    """How many replicas the broker says that it has; empty: it is not known."""
    return [one.value for one in view.gauges if one.name == "kafka_replicas"]


@pytest.mark.parametrize(
    ("roles", "expected"),
    [("broker", [CLUSTER, METADATA, 32, QUORUM]), ("combined", [CLUSTER, METADATA, 32]), ("controller", [])],
)
async def test_one_look_is_one_connection(own: Own, tmp_path: Path, roles: str, expected: list[int]) -> None:
    """How well it is, who is gone and registered still, and what it passes on of the quorum: over one connection, each
    question once, and closed at the end. A controller has no broker to ask.
    """
    there = system(own.server, tmp_path, roles)
    await looked(there)
    assert (int(bool(expected)), expected) == (own.server.connections, own.server.calls())
    await looked(there)
    assert 2 * bool(expected) == own.server.connections


async def test_it_is_closed_at_the_end_of_the_look(own: Own, tmp_path: Path) -> None:
    """No broker is left with an idle connection of each look."""
    view = await looked(system(own.server, tmp_path, "broker"))
    for writer in list(own.server._writers):
        await writer.wait_closed()
    assert (own.server.open, view.quorum, view.registrations[0].holds) == (0, True, "1 replica, as of orders-0")


async def test_no_leader_is_no_silence_of_the_broker(own: Own, tmp_path: Path) -> None:
    """A broker does not answer DescribeQuorum while there is no leader, nor anything behind it on the connection: what
    it said before counts, and the quorum is what is not known.
    """
    own.server.answers[QUORUM] = silence
    view = await looked(system(own.server, tmp_path, "broker"), timeout=WAIT)
    told = view.quorum, view.elsewhere, replicas(view), view.registrations[0].holds, own.server.connections
    where = "DNS gave no address for controllers.prod.svc.cluster.local"
    assert (False, where, [1.0], "1 replica, as of orders-0", 1) == told


@pytest.mark.parametrize(
    ("answer", "asked"), [(silence, 1), (say(b"nothing"), 1), (goodbye, 2)], ids=["silent", "not-kafka", "closes"]
)
async def test_partitions_that_are_not_told_are_unknown_and_nothing_else_is(
    own: Own, tmp_path: Path, answer: Answer, asked: int
) -> None:
    """Where Metadata breaks the connection, what the broker holds is not known, and neither is what the one that is
    gone holds: it is not taken for nothing. The quorum is asked for over another connection. No part asks for Metadata
    again; only a connection that was found closed is tried once more.
    """
    own.server.answers[METADATA] = answer
    view = await looked(system(own.server, tmp_path, "broker"), timeout=WAIT)
    assert (view.quorum, replicas(view), [one.holds for one in view.registrations]) == (True, [], [registered.UNKNOWN])
    calls = own.server.calls()
    assert (1 + asked, asked, QUORUM) == (own.server.connections, calls.count(METADATA), calls[-1])


async def test_a_broker_that_does_not_answer_says_nothing(own: Own, tmp_path: Path) -> None:
    """It is asked once, not by each part, and no part makes anything of it."""
    own.server.answers[CLUSTER] = silence
    view = await looked(system(own.server, tmp_path, "broker"), timeout=WAIT)
    assert (own.server.connections, view.quorum, view.registrations, replicas(view)) == (1, False, (), [])
