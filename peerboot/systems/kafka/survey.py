"""One look at brokers, partitions, moves and limits, for the commands that change brokers. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from peerboot.errors import SystemApiError
from peerboot.model import Value
from peerboot.systems.kafka import throttle
from peerboot.systems.kafka.drain import Broker, Part, held
from peerboot.systems.kafka.reach import Brokers
from peerboot.systems.kafka.throttle import Throttles

if TYPE_CHECKING:
    from peerboot.outside.kafka import Kafka
    from peerboot.outside.kafka.values import Configs, LogDir, Metadata, Move, Resource

LEAST = "min.insync.replicas"
DESCRIBE_CLUSTER = 60
"""Key of that call; from version 2 on (Kafka 4.0) it tells fenced brokers too."""
AT_A_TIME = 500
"""Topics whose settings one question asks for."""
AT_ONCE = 8
"""Brokers that are asked at the same time."""
DYNAMIC_TOPIC, DYNAMIC_BROKER = 1, 2
"""Where a value comes from, if somebody set it for this very topic or broker (DescribeConfigsResponse)."""


class Survey(Value, frozen=True, kw_only=True):
    """What a cluster has."""

    cluster: str
    level: int
    """``metadata.version``."""
    brokers: Mapping[int, Broker]
    """Those that are registered; before 4.0 a cluster names only those that are alive."""
    maybe_alive: frozenset[int]
    """Those that any answer calls alive, though another does not: they change all the time."""
    tells_fenced: bool
    """It names fenced brokers too (4.0 and later)."""
    parts: tuple[Part, ...]
    moves: tuple[tuple[str, int], ...] = ()
    """Partitions with a reassignment under way."""
    throttles: Throttles = Throttles()

    @property
    def cordons(self) -> bool:
        """Brokers can be told to get no new replicas (KIP-1066)."""
        return self.level >= throttle.CORDON_LEVEL


async def partitions(brokers: Brokers) -> Survey:
    """Brokers and replicas alone, in four calls."""
    server = await brokers.any(lambda kafka: kafka.versions())
    nodes = await brokers.any(lambda kafka: kafka.describe_cluster(fenced=True))
    told = await brokers.any(lambda kafka: kafka.metadata(None))
    moves = await brokers.any(lambda kafka: kafka.list_reassignments())
    alive = {node.id for node in told.brokers}
    found = {
        node.id: Broker(id=node.id, rack=node.rack, alive=node.id in alive and not node.fenced)
        for node in (*told.brokers, *nodes.nodes)
    }
    return Survey(
        cluster=told.cluster,
        level=server.level("metadata.version"),
        brokers=found,
        maybe_alive=frozenset(alive | {node.id for node in nodes.nodes if not node.fenced}),
        tells_fenced=server.ranges.get(DESCRIBE_CLUSTER, (0, 0))[1] >= 2,
        parts=tuple(sorted(_parts(told, moves), key=lambda part: (part.topic, part.index))),
        moves=tuple((move.topic, move.partition) for move in moves),
    )


async def whole(brokers: Brokers, leaving: Iterable[int]) -> Survey:
    """That, and what matters where replicas are moved from these brokers: limits, sizes, room on disks."""
    found = await partitions(brokers)
    least, lists = await _settings(brokers, found)
    rates, cordoned = await _own(brokers, found)
    leaving = tuple(leaving)
    sizes, free = await _disks(brokers, found, leaving)
    parts = tuple(
        msgspec.structs.replace(
            part, least=least.get(part.topic, 1), size=sizes.get((part.topic, part.index), part.size)
        )
        for part in found.parts
    )
    known = {
        node: msgspec.structs.replace(one, free=free.get(node, -1), cordoned=node in cordoned)
        for node, one in found.brokers.items()
    }
    throttles = Throttles(rates=rates, lists=lists)
    return msgspec.structs.replace(found, parts=parts, brokers=known, throttles=throttles)


def _parts(told: Metadata, moves: Iterable[Move]) -> Iterable[Part]:
    under = {(move.topic, move.partition): move for move in moves}
    for topic in told.topics:
        if topic.error:
            raise SystemApiError(
                f"Kafka tells nothing of the topic {topic.name} (error {topic.error}): give this login DESCRIBE on all "
                "topics, or run it again"
            )
        for one in topic.partitions:
            move = under.get((topic.name, one.index))
            yield Part(
                topic=topic.name,
                index=one.index,
                replicas=_without(move.replicas, move.removing) if move else one.replicas,
                before=_without(move.replicas, move.adding) if move else (),
                in_sync=one.in_sync,
                leader=one.leader,
            )


def _without(nodes: Iterable[int], others: Sequence[int]) -> tuple[int, ...]:
    return tuple(node for node in nodes if node not in others)


async def _settings(brokers: Brokers, found: Survey) -> tuple[Mapping[str, int], Mapping[str, Mapping[str, str]]]:
    """``min.insync.replicas`` by topic, and the lists of limits."""
    from peerboot.outside.kafka.values import TOPIC

    least: dict[str, int] = {}
    lists: dict[str, dict[str, str]] = {}
    topics = sorted({part.topic for part in found.parts})
    for start in range(0, len(topics), AT_A_TIME):
        asked: dict[Resource, Sequence[str]] = {
            (TOPIC, topic): (LEAST, *throttle.LISTS) for topic in topics[start : start + AT_A_TIME]
        }
        for one in _known(await brokers.any(lambda kafka, asked=asked: kafka.describe_configs(asked))):  # type: ignore[misc]
            for config in one.configs:
                if config.key == LEAST and (config.value or "").isdigit():
                    least[one.name] = int(config.value or "1")
                if config.key in throttle.LISTS and config.value and config.source == DYNAMIC_TOPIC:
                    lists.setdefault(one.name, {})[config.key] = config.value
    return least, lists


async def _own(brokers: Brokers, found: Survey) -> tuple[Mapping[int, tuple[str, ...]], frozenset[int]]:
    """By broker, the limits that it has of its own, and who is cordoned.

    Each tells its own settings and no other's, and so does a controller.
    """
    from peerboot.outside.kafka import KafkaError
    from peerboot.outside.kafka.values import BROKER

    gate = asyncio.Semaphore(AT_ONCE)

    keys = (*throttle.RATES, *((throttle.CORDON, *throttle.DIRS) if found.cordons else ()))

    async def ask(node: int) -> tuple[tuple[str, ...], bool]:
        async with gate:
            asked: dict[Resource, Sequence[str]] = {(BROKER, str(node)): keys}
            try:
                told = await brokers.one(node, lambda kafka: kafka.describe_configs(asked))
            except KafkaError:
                # It went down just now; the next run sees what it has.
                return (), False
        mine = [config for one in told for config in one.configs]
        rates = tuple(one.key for one in mine if one.key in throttle.RATES and one.source == DYNAMIC_BROKER)
        return rates, throttle.cordoned({one.key: one.value or "" for one in mine})

    nodes = [node for node, one in found.brokers.items() if one.alive and brokers.reaches(node)]
    answers = dict(zip(nodes, await asyncio.gather(*(ask(node) for node in nodes)), strict=True))
    rates = {node: own for node, (own, _) in answers.items() if own}
    return rates, frozenset(node for node, (_, closed) in answers.items() if closed)


def _known(found: Iterable[Configs]) -> Iterable[Configs]:
    """A topic may be deleted between two questions."""
    return (one for one in found if not one.error)


async def _disks(
    brokers: Brokers, found: Survey, leaving: Sequence[int]
) -> tuple[Mapping[tuple[str, int], int], Mapping[int, int]]:
    """Bytes of the partitions that these brokers have, and the room that each other broker has, where it is told."""
    gate = asyncio.Semaphore(AT_ONCE)
    mine: dict[str, list[int]] = {}
    for part in held(found.parts, leaving):
        mine.setdefault(part.topic, []).append(part.index)

    async def ask(node: int) -> tuple[LogDir, ...]:
        from peerboot.outside.kafka import KafkaError

        if not (found.brokers[node].alive and brokers.reaches(node)):
            return ()
        async with gate:
            try:
                return await brokers.one(node, partial(_log_dirs, asked=mine if node in leaving else {}))
            except KafkaError:
                # What is not told is not known: a drain does without.
                return ()

    answers = dict(zip(found.brokers, await asyncio.gather(*(ask(node) for node in found.brokers)), strict=True))
    sizes: dict[tuple[str, int], int] = {}
    for node in leaving:
        for copy in (copy for directory in answers.get(node, ()) for copy in directory.copies if not copy.future):
            sizes[copy.topic, copy.partition] = max(copy.size, sizes.get((copy.topic, copy.partition), 0))
    # Directories of one volume tell the same room twice, so the roomiest one counts and not their sum.
    free = {node: max((one.usable for one in dirs), default=-1) for node, dirs in answers.items() if dirs}
    return sizes, free


async def _log_dirs(kafka: Kafka, *, asked: Mapping[str, Sequence[int]]) -> tuple[LogDir, ...]:
    return await kafka.log_dirs(asked)


async def copied(
    brokers: Brokers, wanted: Mapping[int, Mapping[str, Sequence[int]]]
) -> Mapping[tuple[str, int], int] | None:
    """Bytes that these partitions have at the brokers that get them; None where DNS has none of those."""
    from peerboot.outside.kafka import KafkaError

    found: dict[tuple[str, int], int] = {}
    told = False
    for node, asked in wanted.items():
        if not brokers.reaches(node):
            continue
        told = True
        try:
            dirs = await brokers.one(node, partial(_log_dirs, asked=asked))
        except KafkaError:
            # One that is down gets nothing.
            continue
        for copy in (copy for directory in dirs for copy in directory.copies if not copy.future):
            key = copy.topic, copy.partition
            found[key] = found.get(key, 0) + copy.size
    return found if told else None
