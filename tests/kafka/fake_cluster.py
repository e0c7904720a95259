"""Three controllers and a broker in one process, as far as the contract goes: state, and answers made from it."""

from __future__ import annotations

import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from peerboot.outside.kafka import Address, wire
from peerboot.outside.kafka.client import UNREGISTERED
from peerboot.outside.kafka.values import TOPIC
from peerboot.outside.kafka.wire import Reader
from tests.doors.api_server import Certificates
from tests.kafka.contract import PASSWORD, USER, Place
from tests.kafka.fake import Answer, Fake, Request, fake, say
from tests.kafka.fake_login import Doorman

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
CLUSTER = "bL7vmpYoRcSTJpf6jO-LDQ"
LISTENER = "CONTROLLER"
(
    SAID_3, SAID_6, SAID_39, SAID_40, SAID_41, SAID_42, SAID_85, SAID_95, SAID_102, SAID_104, SAID_114,
    SAID_126, SAID_127,
) = (
    3, 6, 39, 40, 41, 42, 85, 95, 102, 104, 114, 126, 127,
)  # fmt: skip
BOTH = {17: 1, 18: 4, 19: 7, 32: 4, 36: 2, 44: 1, 45: 1, 46: 0, 55: 2, 57: 2, 60: 2, 64: 0, 80: 1, 81: 0}
"""Calls of brokers and controllers, and their highest versions in 4.3."""
NOT_ACTIVE = wire.array([wire.int16(41) + wire.string(None) + wire.int8(4) + wire.string("1") + wire.NO_TAGS])
"""A controller that does not lead, of one broker's settings."""
NOTHING = wire.int32(0) + wire.int16(0) + wire.string(None)


def plain(code: int) -> bytes:
    """Throttle time, code, no message."""
    return wire.int32(0) + wire.int16(code) + wire.string(None) + wire.NO_TAGS


def greeting(calls: dict[int, int], levels: dict[str, int]) -> bytes:
    """ApiVersions 3 and 4."""
    rows = (wire.int16(key) + wire.int16(0) + wire.int16(high) + wire.NO_TAGS for key, high in calls.items())
    finalized = wire.array(
        wire.string(name) + wire.int16(level) + wire.int16(level) + wire.NO_TAGS for name, level in levels.items()
    )
    return (
        wire.int16(0) + wire.array(rows) + wire.int32(0)
        + wire.uvarint(1) + wire.uvarint(2) + wire.uvarint(len(finalized)) + finalized
    )  # fmt: skip


class Cluster:
    """A dynamic quorum of 1, 2 and 3."""

    def __init__(self, leader: int = 2) -> None:
        self.leader = leader
        self.voters = {number: wire.uuid_text(bytes([number]) * 16) for number in (1, 2, 3)}
        self.levels = {"kraft.version": 1, "metadata.version": 30}
        self.controllers: dict[int, Address] = {}
        self.brokers: dict[int, Address] = {}
        self.topics: dict[str, tuple[int, ...]] = {}
        """Each of one partition, and the brokers that have it."""
        self.settings: dict[tuple[int, str], dict[str, str]] = {}

    def quorum(self) -> bytes:
        """DescribeQuorum 2 by the leader."""
        rows = [
            wire.int32(number) + wire.uuid(directory) + struct.pack(">qqq", 100, 5, 5) + wire.NO_TAGS
            for number, directory in self.voters.items()
        ]
        partition = wire.int32(0) + wire.int16(0) + wire.string(None) + struct.pack(">iiq", self.leader, 7, 99)
        partition += wire.array(rows) + wire.array([]) + wire.NO_TAGS
        topic = wire.string("__cluster_metadata") + wire.array([partition]) + wire.NO_TAGS
        nodes = []
        for number, (host, port) in self.controllers.items():
            listener = wire.string(LISTENER) + wire.string(host) + wire.uint16(port) + wire.NO_TAGS
            nodes.append(wire.int32(number) + wire.array([listener]) + wire.NO_TAGS)
        return wire.int16(0) + wire.string(None) + wire.array([topic]) + wire.array(nodes) + wire.NO_TAGS

    def not_leading(self) -> bytes:
        """DescribeQuorum 2 by another one: leader 0, which is nobody, and no voters."""
        partition = wire.int32(0) + wire.int16(SAID_6) + wire.string(None) + bytes(16) + b"\1\1\0"
        topic = wire.string("__cluster_metadata") + wire.array([partition]) + wire.NO_TAGS
        return wire.int16(0) + wire.string(None) + wire.array([topic]) + wire.array([]) + wire.NO_TAGS

    def nodes(self, request: Request, kind: int, found: dict[int, Address]) -> bytes:
        """DescribeCluster 2."""
        asked = request.body[1]
        code, shown = (0, found) if asked == kind else (SAID_114, {})
        rows = (
            wire.int32(number) + wire.string(host) + wire.int32(port) + wire.string(None) + b"\0\0"
            for number, (host, port) in shown.items()
        )
        head = wire.int32(0) + wire.int16(code) + wire.string(None) + wire.int8(asked)
        controller = self.leader if kind == 2 else 1
        return head + wire.string(CLUSTER) + wire.int32(controller) + wire.array(rows) + wire.int32(0) + wire.NO_TAGS

    def add(self, request: Request) -> bytes:
        """AddRaftVoter 1."""
        read = Reader(request.body)
        cluster, _, number, directory = read.nullable(), read.int32(), read.int32(), read.uuid()
        [(listener, _, _)] = read.array(lambda: _row(read, read.string(), read.string(), read.uint16()), 5)
        if cluster not in (None, CLUSTER):
            return plain(SAID_104)
        if listener != LISTENER:
            return plain(SAID_42)
        if number in self.voters:
            return plain(SAID_126)
        self.voters[number] = directory
        return plain(0)

    def remove(self, request: Request) -> bytes:
        """RemoveRaftVoter 0."""
        read = Reader(request.body)
        cluster, number, directory = read.nullable(), read.int32(), read.uuid()
        if cluster not in (None, CLUSTER):
            return plain(SAID_104)
        if self.voters.get(number) != directory or len(self.voters) == 1:
            return plain(SAID_127)
        del self.voters[number]
        return plain(0)

    def unregister(self, request: Request) -> bytes:
        """UnregisterBroker 0."""
        number = Reader(request.body).int32()
        return plain(0 if self.brokers.pop(number, None) else SAID_102)

    def could_create(self, request: Request, leads: bool = True) -> bytes:
        """CreateTopics 7 of one topic with one copy, validated only."""
        read = Reader(request.body)

        def assigned() -> tuple[int, ...]:
            read.int32()
            found = read.ints()
            read.tags()
            return found

        def topic() -> tuple[str, int]:
            name, _, _ = read.string(), read.int32(), read.int16()
            [[broker]] = read.array(assigned, 6)
            read.array(read.string, 1)
            read.tags()
            return name, broker

        [(name, number)] = read.array(topic, 10)
        known = number in self.brokers
        said = None if known else f"The manual partition assignment includes broker {number}, but {UNREGISTERED}."
        code = SAID_41 if not leads else 0 if known else SAID_39
        row = wire.string(name) + wire.NO_UUID + wire.int16(code) + wire.string(said) + wire.int32(-1) + wire.int16(-1)
        return wire.int32(0) + wire.array([row + wire.array([]) + wire.NO_TAGS]) + wire.NO_TAGS

    def features(self, request: Request) -> bytes:
        """UpdateFeatures 2, validated only."""
        read = Reader(request.body)
        read.int32()
        rows = read.array(lambda: _row(read, read.string(), read.int16(), read.int8()), 5)
        return plain(0 if all(level <= self.levels.get(name, 0) for name, level, _ in rows) else SAID_95)

    def metadata(self, request: Request) -> bytes:
        """Metadata 13; a topic that is not there is made where that is asked for."""
        read = Reader(request.body)
        asked = read.array(lambda: _row(read, read.uuid(), read.string(), 0), 18)
        if read.boolean():
            self.topics |= {name: (1,) for _, name, _ in asked if name not in self.topics}
        topics = [self._topic(name) for name in ([name for _, name, _ in asked] or self.topics)]
        brokers = (
            wire.int32(number) + wire.string(host) + wire.int32(port) + wire.string(None) + wire.NO_TAGS
            for number, (host, port) in self.brokers.items()
        )
        head = wire.int32(0) + wire.array(brokers) + wire.string(CLUSTER) + wire.int32(1)
        return head + wire.array(topics) + wire.int16(0) + wire.NO_TAGS

    def _topic(self, name: str) -> bytes:
        if name not in self.topics:
            return wire.int16(SAID_3) + wire.string(name) + wire.NO_UUID + b"\0" + wire.array([]) + bytes(4) + b"\0"
        ids = wire.array(wire.int32(one) for one in self.topics[name])
        partition = wire.int16(0) + wire.int32(0) + wire.int32(self.topics[name][0]) + wire.int32(1)
        partition += ids + ids + wire.array([]) + wire.NO_TAGS
        head = wire.int16(0) + wire.string(name) + name.encode().ljust(16)[:16] + b"\0"
        return head + wire.array([partition]) + bytes(4) + wire.NO_TAGS

    def _moved(self, name: str, replicas: tuple[int, ...] | None) -> int:
        """The code of a move, which is done at once."""
        if name not in self.topics:
            return SAID_3
        if replicas is None:
            return SAID_85
        if not set(replicas) <= set(self.brokers):
            return SAID_39
        self.topics[name] = replicas
        return 0

    def _unsettable(self, kind: int, name: str, by: int | None) -> int:
        """The code for a topic that is not there, or a broker's settings at another one."""
        if kind == TOPIC:
            return 0 if name in self.topics else SAID_3
        return 0 if by is None or name == str(by) else SAID_42

    def alter(self, request: Request, by: int | None) -> bytes:
        """IncrementalAlterConfigs 1; ``by``: the broker that is asked."""
        read = Reader(request.body)

        def one() -> tuple[str, int, str | None]:
            return _row(read, read.string(), read.int8(), read.nullable())

        def rows() -> bytes:
            kind, name, wanted = _row(read, read.int8(), read.string(), read.array(one, 4))
            code = self._unsettable(kind, name, by)
            if any("throttled" not in key for key, _, _ in wanted):
                code = SAID_40
            for key, _, value in wanted if not code else ():
                mine = self.settings.setdefault((kind, name), {})
                mine.pop(key, None)
                mine.update({} if value is None else {key: value})
            return wire.int16(code) + wire.string(None) + wire.int8(kind) + wire.string(name) + wire.NO_TAGS

        return wire.int32(0) + wire.array(read.array(rows, 4)) + wire.NO_TAGS

    def describe(self, request: Request, by: int | None) -> bytes:
        """DescribeConfigs 4."""
        read = Reader(request.body)

        def rows() -> bytes:
            kind, name, keys = _row(read, read.int8(), read.string(), read.array(read.string, 1))
            code, mine = self._unsettable(kind, name, by), self.settings.get((kind, name), {})
            shown = [
                wire.string(key) + wire.string(mine[key]) + b"\0" + wire.int8(1 if kind == TOPIC else 2) + b"\0\1\0\0\0"
                for key in keys
                if key in mine and not code
            ]
            head = wire.int16(code) + wire.string(None) + wire.int8(kind) + wire.string(name)
            return head + wire.array(shown) + wire.NO_TAGS

        return wire.int32(0) + wire.array(read.array(rows, 4)) + wire.NO_TAGS

    def disks(self, request: Request) -> bytes:
        """DescribeLogDirs 4 by broker 1."""
        read = Reader(request.body)
        asked = (
            None
            if request.body[0] == 0
            else [row[0] for row in read.array(lambda: _row(read, read.string(), read.ints(), 0), 3)]
        )
        topics = [
            wire.string(name) + wire.array([wire.int32(0) + bytes(16) + b"\0\0"]) + wire.NO_TAGS
            for name, replicas in self.topics.items()
            if 1 in replicas and (asked is None or name in asked)
        ]
        directory = wire.int16(0) + wire.string("/data") + wire.array(topics) + struct.pack(">qq", 9, 8) + wire.NO_TAGS
        return wire.int32(0) + wire.int16(0) + wire.array([directory]) + wire.NO_TAGS

    def reassign(self, request: Request) -> bytes:
        """AlterPartitionReassignments 1."""
        read = Reader(request.body)
        read.take(5)

        def partition() -> tuple[int, tuple[int, ...] | None]:
            index, ids = read.int32(), read.ints()
            read.tags()
            # Null and empty look alike to the reader, and nobody asks for no replicas.
            return index, ids or None

        asked = read.array(lambda: _row(read, read.string(), read.array(partition, 6), 0), 3)
        topics = [
            wire.string(name)
            + wire.array(
                wire.int32(index) + wire.int16(self._moved(name, ids)) + wire.string(None) + wire.NO_TAGS
                for index, ids in rows
            )
            + wire.NO_TAGS
            for name, rows, _ in asked
        ]
        return wire.int32(0) + b"\0" + wire.int16(0) + wire.string(None) + wire.array(topics) + wire.NO_TAGS


def _row(read: Reader, one: A, two: B, three: C) -> tuple[A, B, C]:
    """A struct of three fields, or of two and nothing, and the tags behind it."""
    read.tags()
    return one, two, three


def controller(cluster: Cluster, number: int) -> dict[int, Answer]:
    """What a controller answers: the leader everything, another one 6 to raft's calls and 41 to the others."""

    def leading(answer: Answer, otherwise: bytes) -> Answer:
        async def behave(request: Request, writer: object) -> None:
            chosen = answer if cluster.leader == number else say(otherwise)
            await chosen(request, writer)  # type: ignore[arg-type]  # handed on as it came

        return behave

    moves = NOTHING + wire.array([]) + wire.NO_TAGS
    return {
        18: say(lambda _: greeting(BOTH | {82: 0}, cluster.levels)),
        60: say(lambda request: cluster.nodes(request, 2, cluster.controllers)),
        55: leading(say(lambda _: cluster.quorum()), cluster.not_leading()),
        80: leading(say(cluster.add), plain(SAID_6)),
        81: leading(say(cluster.remove), plain(SAID_6)),
        64: leading(say(cluster.unregister), plain(SAID_41)),
        19: say(lambda request: cluster.could_create(request, cluster.leader == number)),
        57: leading(say(cluster.features), plain(SAID_41)),
        44: leading(say(lambda request: cluster.alter(request, None)), wire.int32(0) + NOT_ACTIVE + wire.NO_TAGS),
        46: leading(say(moves), wire.int32(0) + wire.int16(SAID_41) + wire.string(None) + wire.array([]) + b"\0"),
    }


def broker(cluster: Cluster) -> dict[int, Answer]:
    """What a broker answers: all that the leader would, and metadata."""
    return {
        18: say(lambda _: greeting(BOTH | {3: 13, 35: 4}, cluster.levels)),
        3: say(cluster.metadata),
        60: say(lambda request: cluster.nodes(request, 1, cluster.brokers)),
        55: say(lambda _: cluster.quorum()),
        80: say(cluster.add),
        81: say(cluster.remove),
        64: say(cluster.unregister),
        19: say(cluster.could_create),
        57: say(cluster.features),
        32: say(lambda request: cluster.describe(request, 1)),
        35: say(cluster.disks),
        44: say(lambda request: cluster.alter(request, 1)),
        45: say(cluster.reassign),
        46: say(NOTHING + wire.array([]) + wire.NO_TAGS),
    }


@asynccontextmanager
async def fake_place(ours: Certificates, other: Certificates) -> AsyncIterator[Place]:
    """A whole fake Kafka."""
    cluster = Cluster()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.chain, ours.key)
    async with AsyncExitStack() as stack:

        async def started(answers: dict[int, Answer], tls: ssl.SSLContext | None = None) -> Fake:
            return await stack.enter_async_context(fake(answers, tls))

        nodes = [await started(controller(cluster, number)) for number in (1, 2, 3)]
        cluster.controllers = {number: node.address for number, node in enumerate(nodes, 1)}
        plaintext = await started(broker(cluster))
        behind = broker(cluster)
        hello = behind.pop(18)
        secure = await started({18: hello, **Doorman(USER, PASSWORD).answers(behind)}, context)
        cluster.brokers = {1: plaintext.address, 2: (await started(broker(cluster))).address}
        one, two, three = (node.address for node in nodes)
        yield Place(CLUSTER, (one, two, three), plaintext.address, secure.address, ours.ca, other.ca, pause=0)
