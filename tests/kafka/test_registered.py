"""Brokers that are gone and registered still: whose they are, what they hold, and how often that is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from peerboot.model import Call, ClusterView
from peerboot.outside.http import Http
from peerboot.outside.kafka import wire
from peerboot.outside.kafka.values import Metadata, Node, Nodes, Partition, Topic
from peerboot.systems.kafka import ownbroker, registered
from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.prepared import Kafka
from tests.kafka.fake import Fake, Request, fake, say
from tests.kafka.fake_cluster import greeting
from tests.kafka.test_config import made

HOST = "kafka-{}.kafka.prod.svc.cluster.local"


def nodes(*rows: tuple[int, str, bool]) -> Nodes:
    """Id, host, whether it is fenced."""
    return Nodes(cluster="c1", controller=0, nodes=tuple(Node(id=n, host=h, port=9092, fenced=f) for n, h, f in rows))


GONE = {
    "fenced-and-its-pod-gone": ((3, HOST.format(3), True), {}, (3,)),
    "alive": ((3, HOST.format(3), False), {}, ()),
    "its-pod-is-there": ((3, HOST.format(3), True), {"kafka-3": ("10.0.0.3",)}, ()),
    "of-another-set": ((1003, "other-3.others.prod.svc.cluster.local", True), {}, ()),
}


@pytest.mark.parametrize(("row", "addresses", "expected"), GONE.values(), ids=GONE.keys())
def test_who_is_gone(
    row: tuple[int, str, bool], addresses: dict[str, tuple[str, ...]], expected: tuple[int, ...]
) -> None:
    """Fenced, of this set by the host that it advertised, and not in DNS."""
    assert registered.gone_of(made(), nodes((0, HOST.format(0), False), row), addresses) == expected


def told(*replicas: tuple[int, ...], error: int = 0) -> Metadata:
    """A topic of such partitions."""
    parts = tuple(
        Partition(index=index, leader=ids[0], epoch=1, replicas=ids, in_sync=ids, offline=())
        for index, ids in enumerate(replicas)
    )
    return Metadata(
        cluster="c1",
        controller=0,
        brokers=(),
        topics=(Topic(name="orders", id="", internal=False, partitions=parts, error=error),),
    )


def test_what_is_held() -> None:
    """How many, and one by name; nothing is empty, unless a topic is not told."""
    found = told((0, 1), (3, 0), (0, 3))
    assert registered.held_by(found, (3, 4)) == {3: "2 replicas, as of orders-1", 4: ""}
    assert registered.held_by(told((3, 0)), (3,)) == {3: "1 replica, as of orders-0"}
    assert registered.held_by(told(error=29), (3,)) == {3: registered.UNKNOWN}


class Broker:
    """Broker 0 of a set whose broker 3 is gone."""

    def __init__(self) -> None:
        self.replicas = (3, 0)
        self.fenced = True
        self.metadata = 0
        self.alive = [0]
        self.forgotten: list[int] = []

    def cluster(self, _request: Request) -> bytes:
        """DescribeCluster 2."""
        rows = [
            wire.int32(number)
            + wire.string(HOST.format(number))
            + wire.int32(9092)
            + wire.string(None)
            + fenced
            + b"\0"
            for number, fenced in ((0, b"\0"), (3, wire.boolean(self.fenced)))
            if number not in self.forgotten
        ]
        head = wire.int32(0) + wire.int16(0) + wire.string(None) + b"\1" + wire.string("c1") + wire.int32(0)
        return head + wire.array(rows) + wire.int32(0) + wire.NO_TAGS

    def topics(self, _request: Request) -> bytes:
        """Metadata 13."""
        self.metadata += 1
        ids = wire.array(wire.int32(one) for one in self.replicas)
        part = wire.int16(0) + wire.int32(0) + wire.int32(0) + wire.int32(1) + ids + ids + wire.array([]) + wire.NO_TAGS
        topic = wire.int16(0) + wire.string("orders") + bytes(16) + b"\0" + wire.array([part]) + bytes(4) + wire.NO_TAGS
        alive = [
            wire.int32(number) + wire.string(HOST.format(number)) + wire.int32(9092) + wire.string(None) + wire.NO_TAGS
            for number in self.alive
        ]
        head = wire.int32(0) + wire.array(alive) + wire.string("c1") + wire.int32(0)
        return head + wire.array([topic]) + wire.int16(0) + wire.NO_TAGS

    def forget(self, request: Request) -> bytes:
        """UnregisterBroker 0."""
        self.forgotten.append(int.from_bytes(request.body[:4], "big"))
        return wire.int32(0) + wire.int16(0) + wire.string(None) + wire.NO_TAGS


@pytest.fixture
async def broker() -> AsyncIterator[tuple[Broker, Fake]]:
    """One that listens, for broker 0 and for the controller of the same Pod."""
    state = Broker()
    calls = {3: 13, 18: 4, 44: 1, 46: 0, 60: 2, 64: 0}
    done = wire.int32(0) + wire.array([]) + wire.NO_TAGS
    none = wire.int32(0) + wire.int16(0) + wire.string(None) + wire.array([]) + wire.NO_TAGS
    answers = {
        18: say(lambda _: greeting(calls, {"metadata.version": 25})),
        60: say(state.cluster),
        3: say(state.topics),
        46: say(none),
        44: say(done),
        64: say(state.forget),
    }
    async with fake(answers) as server:
        yield state, server


async def test_it_is_asked_now_and_then(broker: tuple[Broker, Fake]) -> None:
    """Who is fenced at most every five seconds, what it holds once a minute; who is back is gone from the list."""
    state, server = broker
    config, addresses = at(server), {"kafka-0": ("127.0.0.1",)}
    registry = registered.Registry()

    async def seen(now: float) -> list[str]:
        async with ownbroker.opened(config, addresses["kafka-0"], 2.0) as mine:
            assert isinstance(mine, ownbroker.OwnBroker)
            return [one.holds for one in await registry.look(config, mine, addresses, now)]

    assert await seen(0) == ["1 replica, as of orders-0"]
    state.replicas = (1, 0)
    assert [await seen(now) for now in (4, 6, 59)] == [["1 replica, as of orders-0"]] * 3
    assert (await seen(65), await seen(66), state.metadata) == ([""], [""], 2)
    state.fenced = False
    assert (await seen(69), await seen(71)) == ([""], [])


async def test_silence_is_no_registration() -> None:
    """Nobody answers: nothing is known, and nothing is raised."""
    async with fake({}) as server:
        config = at(server)
    async with ownbroker.opened(config, ("127.0.0.1",), 0.3) as mine:
        assert mine is None
        assert await registered.Registry().look(config, mine, {}, 0.0) == ()


async def test_the_sidecar_forgets_only_what_it_has_checked_again(broker: tuple[Broker, Fake], tmp_path: Path) -> None:
    """The rule goes by what was heard a moment ago: one that holds something, lives, or has its Pod back is kept."""
    state, server = broker
    addresses = {"kafka-0": ("127.0.0.1",)}
    done = wire.int32(0) + wire.array([]) + wire.NO_TAGS
    async with fake({18: say(lambda _: greeting({44: 1}, {})), 44: say(done)}) as controller:
        prepared = Kafka(at(server, PEERBOOT_KAFKA_CONTROLLER_PORT=str(controller.address.port)), tmp_path)

        async def why_not(**pods: tuple[str, ...]) -> str:
            call, there = Call(name="unregister", member="3"), {**addresses, **pods}
            found = await prepared.call(Http(), call, ClusterView(), there)
            return "" if found.ok else found.say

        held = await why_not()
        state.replicas = (1, 0)
        there = await why_not(**{"kafka-3": ("127.0.0.1",)})
        state.alive.append(3)
        lives = await why_not()
        state.alive.remove(3)
        assert (await why_not(), state.forgotten, controller.calls()) == ("", [3], [44])
    assert ("still has a replica" in held, "DNS still has its Pod" in there, "is alive" in lives) == (True, True, True)


def at(server: Fake, **environ: Any) -> KafkaConfig:
    """The set whose brokers listen there."""
    return made(PEERBOOT_KAFKA_BROKER_PORT=str(server.address.port), **environ)
