"""Each call's response to values (``clients/…/common/message/*Response.json``). Raises ``KafkaError``, nothing else.

The reader stands behind the response header. An error code of the whole answer is raised as soon as it is read; those
of single topics and partitions are part of the values. Each function reads to the last byte, and none may be left.
"""

from __future__ import annotations

from peerboot.outside.kafka.errors import CODES, MOVED, UNSUPPORTED_VERSION, answered, check
from peerboot.outside.kafka.requests import QUORUM_TOPIC
from peerboot.outside.kafka.values import (
    Endpoint,
    Feature,
    Metadata,
    Move,
    Node,
    Nodes,
    Partition,
    Quorum,
    QuorumNode,
    Refusal,
    Replica,
    Server,
    Topic,
)
from peerboot.outside.kafka.wire import Reader, bad


def api_versions(read: Reader) -> tuple[bool, Server]:
    """Versions 3 and 4: whether the version was accepted, and what the server can do.

    To a version that it lacks a server answers 35 in version 0, with the versions of ApiVersions that it has (KIP-511).
    """
    code = read.int16()
    if code == UNSUPPORTED_VERSION:
        old = read.old_array(lambda: (read.int16(), read.int16(), read.int16()), 6)
        read.end()
        return False, Server(ranges={key: (low, high) for key, low, high in old})
    check(code)
    supported: tuple[Feature, ...] = ()
    finalized: tuple[Feature, ...] = ()
    epoch = -1

    def rows() -> tuple[int, int, int]:
        row = read.int16(), read.int16(), read.int16()
        read.tags()
        return row

    def feature() -> Feature:
        found = Feature(name=read.string(), least=read.int16(), most=read.int16())
        read.tags()
        return found

    def level() -> Feature:
        name, most, _least = read.string(), read.int16(), read.int16()
        read.tags()
        return Feature(name=name, least=most, most=most)

    def tag_supported() -> None:
        nonlocal supported
        supported = read.array(feature, 6)

    def tag_epoch() -> None:
        nonlocal epoch
        epoch = read.int64()

    def tag_finalized() -> None:
        nonlocal finalized
        finalized = read.array(level, 6)

    ranges = {key: (low, high) for key, low, high in read.array(rows, 7)}
    read.int32()
    read.tags({0: tag_supported, 1: tag_epoch, 2: tag_finalized})
    read.end()
    return True, Server(ranges=ranges, supported=supported, finalized=finalized, epoch=epoch)


def sasl_handshake(read: Reader) -> tuple[int, tuple[str, ...]]:
    """Version 1: the code, and the mechanisms that the listener takes."""
    found = read.int16(), read.old_array(read.old_string, 2)
    read.end()
    return found


def sasl_authenticate(read: Reader) -> tuple[bytes, int]:
    """Version 2: the server's token, and for how many ms the login holds (0: no end)."""
    code, message, token, lifetime = read.int16(), read.nullable(), read.data(), read.int64()
    read.tags()
    read.end()
    check(code, message)
    return token, max(0, lifetime)


def describe_quorum(read: Reader, version: int) -> Quorum:
    """Versions 0 to 2. Of a controller that does not lead: ``not-leader``."""

    def replica() -> Replica:
        found = Replica(
            id=read.int32(),
            directory=read.uuid() if version >= 2 else "",
            end_offset=read.int64(),
            fetched_ms=read.int64() if version >= 1 else -1,
            caught_up_ms=read.int64() if version >= 1 else -1,
        )
        read.tags()
        return found

    def partition() -> Quorum:
        read.int32()
        code, message = read.int16(), read.nullable() if version >= 2 else None
        least = 13 + 16 * min(version, 2)
        found = Quorum(
            leader=read.int32(),
            epoch=read.int32(),
            high_watermark=read.int64(),
            voters=read.array(replica, least),
            observers=read.array(replica, least),
        )
        read.tags()
        check(code, message)
        return found

    def topic() -> tuple[str, tuple[Quorum, ...]]:
        found = read.string(), read.array(partition, 25)
        read.tags()
        return found

    code, message = read.int16(), read.nullable() if version >= 2 else None
    check(code, message)
    topics = read.array(topic, 3)
    nodes = read.array(lambda: _quorum_node(read), 6) if version >= 2 else ()
    read.tags()
    read.end()
    match topics:
        case ((name, (found,)),) if name == QUORUM_TOPIC:
            return Quorum(
                leader=found.leader,
                epoch=found.epoch,
                high_watermark=found.high_watermark,
                voters=found.voters,
                observers=found.observers,
                nodes=nodes,
            )
    raise bad("not the one partition of the metadata log")


def _quorum_node(read: Reader) -> QuorumNode:
    def endpoint() -> Endpoint:
        found = Endpoint(listener=read.string(), host=read.string(), port=read.uint16())
        read.tags()
        return found

    found = QuorumNode(id=read.int32(), endpoints=read.array(endpoint, 5))
    read.tags()
    return found


def describe_cluster(read: Reader, version: int) -> Nodes:
    """Versions 0 to 2."""

    def node() -> Node:
        found = Node(
            id=read.int32(),
            host=read.string(),
            port=read.int32(),
            rack=read.nullable() or "",
            fenced=read.boolean() if version >= 2 else False,
        )
        read.tags()
        return found

    read.int32()
    check(read.int16(), read.nullable())
    if version >= 1:
        read.int8()
    found = Nodes(cluster=read.string(), controller=read.int32(), nodes=read.array(node, 11))
    read.int32()
    read.tags()
    read.end()
    return found


def plain(read: Reader, _version: int) -> None:
    """AddRaftVoter 0 and 1, RemoveRaftVoter 0, UnregisterBroker 0: nothing but whether it was done."""
    read.int32()
    code, message = read.int16(), read.nullable()
    read.tags()
    read.end()
    check(code, message)


def could_create(read: Reader, _version: int) -> tuple[int, str]:
    """CreateTopics 7 for one topic: Kafka's code and its message; 0 if it could be made."""

    def config() -> None:
        read.string(), read.nullable(), read.boolean(), read.int8(), read.boolean()
        read.tags()

    def topic() -> tuple[int, str]:
        read.string(), read.uuid()
        code, message = read.int16(), read.nullable()
        read.int32(), read.int16()
        read.array(config, 6)
        read.tags()
        return code, message or ""

    read.int32()
    topics = read.array(topic, 28)
    read.tags()
    read.end()
    if len(topics) != 1:
        raise bad(f"{len(topics)} topics where one was asked for")
    code, message = topics[0]
    if code in MOVED:
        check(code, message)
    return code, message


def update_features(read: Reader, version: int) -> None:
    """Versions 1 and 2; in 1 each feature has a code of its own, the first that is not 0 is raised."""
    read.int32()
    code, message = read.int16(), read.nullable()

    def feature() -> tuple[int, str]:
        name, code, message = read.string(), read.int16(), read.nullable()
        read.tags()
        return code, f"{name}: {message or CODES.get(code, ('', ''))[1]}"

    results = read.array(feature, 5) if version < 2 else ()
    read.tags()
    read.end()
    check(code, message)
    for one, said in results:
        check(one, said)


def metadata(read: Reader, version: int) -> Metadata:
    """Versions 12 and 13."""

    def broker() -> Node:
        found = Node(id=read.int32(), host=read.string(), port=read.int32(), rack=read.nullable() or "")
        read.tags()
        return found

    def partition() -> Partition:
        found = Partition(
            error=read.int16(),
            index=read.int32(),
            leader=read.int32(),
            epoch=read.int32(),
            replicas=read.ints(),
            in_sync=read.ints(),
            offline=read.ints(),
        )
        read.tags()
        return found

    def topic() -> Topic:
        found = Topic(
            error=read.int16(),
            name=read.nullable() or "",
            id=read.uuid(),
            internal=read.boolean(),
            partitions=read.array(partition, 18),
        )
        read.int32()
        read.tags()
        return found

    read.int32()
    brokers = read.array(broker, 11)
    cluster = read.nullable() or ""
    controller = read.int32()
    topics = read.array(topic, 26)
    code = read.int16() if version >= 13 else 0
    read.tags()
    read.end()
    check(code)
    return Metadata(cluster=cluster, controller=controller, brokers=brokers, topics=topics)


def alter_reassignments(read: Reader, version: int) -> tuple[Refusal, ...]:
    """Versions 0 and 1: the partitions that were refused; empty means that all were begun (or cancelled)."""

    def partition() -> tuple[int, int, str | None]:
        found = read.int32(), read.int16(), read.nullable()
        read.tags()
        return found

    def topic() -> tuple[str, tuple[tuple[int, int, str | None], ...]]:
        found = read.string(), read.array(partition, 8)
        read.tags()
        return found

    read.int32()
    if version >= 1:
        read.boolean()
    code, message = read.int16(), read.nullable()
    topics = read.array(topic, 3)
    read.tags()
    read.end()
    check(code, message)
    return tuple(_refusal(name, *row) for name, rows in topics for row in rows if row[1])


def _refusal(topic: str, partition: int, code: int, message: str | None) -> Refusal:
    return Refusal(
        topic=topic,
        partition=partition,
        code=code,
        name=CODES.get(code, ("", ""))[0],
        message=str(answered(code, message)),
    )


def list_reassignments(read: Reader, _version: int) -> tuple[Move, ...]:
    """Version 0: what is under way."""

    def partition() -> tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        found = read.int32(), read.ints(), read.ints(), read.ints()
        read.tags()
        return found

    def topic() -> tuple[Move, ...]:
        name, rows = read.string(), read.array(partition, 8)
        read.tags()
        return tuple(
            Move(topic=name, partition=index, replicas=replicas, adding=adding, removing=removing)
            for index, replicas, adding, removing in rows
        )

    read.int32()
    code, message = read.int16(), read.nullable()
    topics = read.array(topic, 3)
    read.tags()
    read.end()
    check(code, message)
    return tuple(move for moves in topics for move in moves)
