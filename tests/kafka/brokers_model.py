"""A cluster of brokers as far as draining goes: replicas that move as time passes, settings, disks; clients of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from peerboot.outside.kafka import KafkaError
from peerboot.outside.kafka.values import (
    BROKER,
    DELETE,
    Config,
    ConfigChange,
    Configs,
    Copy,
    Failure,
    Feature,
    LogDir,
    Metadata,
    Move,
    Node,
    Nodes,
    Partition,
    Refusal,
    Resource,
    Server,
    Topic,
)
from peerboot.systems.kafka import throttle
from peerboot.systems.kafka.reach import Ask, Brokers

T = TypeVar("T")
Key = tuple[str, int]


@dataclass
class Placed:
    """One partition."""

    replicas: tuple[int, ...]
    size: int = 100
    in_sync: tuple[int, ...] | None = None
    target: tuple[int, ...] = ()
    """Of a reassignment under way."""
    since: float = 0.0
    shown: tuple[int, ...] = ()
    ended: float = -1e9


@dataclass
class World:
    """The cluster. Time is the running loop's."""

    alive: set[int] = field(default_factory=lambda: {0, 1, 2, 3})
    registered: set[int] = field(default_factory=lambda: {0, 1, 2, 3})
    level: int = 30
    old: bool = False
    """It tells no fenced brokers."""
    parts: dict[Key, Placed] = field(default_factory=dict)
    settings: dict[Resource, dict[str, str]] = field(default_factory=dict)
    seconds: float = 3.0
    """That a move takes."""
    silent: bool = False
    refuses: dict[Key, int] = field(default_factory=dict)
    free: int = 10**9
    journal: list[str] = field(default_factory=list)
    """What was changed, in order."""
    on_alter: Callable[[], None] = lambda: None
    unregistered: list[int] = field(default_factory=list)
    lag: float = 0.0
    """Seconds after which brokers show a move that ended."""
    most: int = 0
    """Moves under way at the same time."""

    def tick(self) -> None:
        """Moves end after their time, when all who are to have a replica are alive."""
        now = asyncio.get_running_loop().time()
        for one in self.parts.values():
            if one.target and now - one.since >= self.seconds and set(one.target) <= self.alive:
                one.shown, one.ended = one.replicas, now
                one.replicas, one.target = one.target, ()

    def moving(self) -> dict[Key, Placed]:
        """Those under way."""
        return {key: one for key, one in self.parts.items() if one.target}


class Client:
    """The calls, as ``outside.kafka.Kafka`` has them; ``node``: who answers."""

    def __init__(self, world: World, node: int | None) -> None:
        self.world, self.node = world, node

    async def _call(self) -> World:
        self.world.tick()
        if self.world.silent:
            raise KafkaError("timeout", "no whole answer in time")
        return self.world

    async def versions(self) -> Server:
        world = await self._call()
        level = Feature(name="metadata.version", least=world.level, most=world.level)
        return Server(ranges={60: (0, 1 if world.old else 2)}, finalized=(level,))

    def _nodes(self, ids: set[int]) -> tuple[Node, ...]:
        return tuple(Node(id=n, host=f"db-{n}", port=9092, fenced=n not in self.world.alive) for n in sorted(ids))

    async def describe_cluster(self, *, fenced: bool = False) -> Nodes:
        world = await self._call()
        shown = world.registered if fenced and not world.old else world.alive
        return Nodes(cluster="c", controller=0, nodes=self._nodes(shown))

    async def metadata(self, topics: Sequence[str] | None = None) -> Metadata:
        world = await self._call()
        rows: dict[str, list[Partition]] = {}
        for (topic, index), one in sorted(world.parts.items()):
            nodes = (*one.target, *(n for n in one.replicas if n not in one.target))
            if asyncio.get_running_loop().time() - one.ended < world.lag:
                nodes = (*one.replicas, *(n for n in one.shown if n not in one.replicas))
            living = tuple(n for n in one.replicas if n in world.alive)
            rows.setdefault(topic, []).append(
                Partition(
                    index=index,
                    leader=living[0] if living else -1,
                    epoch=1,
                    replicas=nodes,
                    in_sync=living if one.in_sync is None else one.in_sync,
                    offline=(),
                )
            )
        found = tuple(Topic(name=n, id="", internal=False, partitions=tuple(p)) for n, p in rows.items())
        return Metadata(
            cluster="c", controller=0, brokers=self._nodes(world.alive), topics=found if topics is None else ()
        )

    async def list_reassignments(self, partitions: Mapping[str, Sequence[int]] | None = None) -> tuple[Move, ...]:
        world = await self._call()
        return tuple(
            Move(
                topic=topic,
                partition=index,
                replicas=(*one.target, *(n for n in one.replicas if n not in one.target)),
                adding=tuple(n for n in one.target if n not in one.replicas),
                removing=tuple(n for n in one.replicas if n not in one.target),
            )
            for (topic, index), one in world.moving().items()
            if partitions is None or index in partitions.get(topic, ())
        )

    async def alter_reassignments(self, moves: Mapping[Key, Sequence[int] | None]) -> tuple[Refusal, ...]:
        world = await self._call()
        world.on_alter()
        refused = []
        for (topic, index), target in moves.items():
            if code := world.refuses.get((topic, index), 0):
                refused.append(Refusal(topic=topic, partition=index, code=code, name="", message=f"no ({code})"))
                continue
            one = world.parts[topic, index]
            one.target, one.since = tuple(target or ()), asyncio.get_running_loop().time()
        world.most = max(world.most, len(world.moving()))
        begun = [key for key, target in moves.items() if target is not None]
        world.journal.append(f"move {len(begun)}" if begun else f"cancel {len(moves)}")
        return tuple(refused)

    async def describe_configs(self, resources: Mapping[Resource, Sequence[str] | None]) -> tuple[Configs, ...]:
        world = await self._call()
        found = []
        for (kind, name), keys in resources.items():
            assert kind != BROKER or name == str(self.node)
            mine = {k: v for k, v in world.settings.get((kind, name), {}).items() if k in (keys or ())}
            found.append(
                Configs(
                    kind=kind,
                    name=name,
                    configs=tuple(Config(key=k, value=v, source=2 if kind == BROKER else 1) for k, v in mine.items()),
                )
            )
        return tuple(found)

    async def alter_configs(self, changes: Sequence[ConfigChange]) -> tuple[Failure, ...]:
        world = await self._call()
        for one in changes:
            if one.kind == BROKER and self.node not in (None, int(one.name)):
                return (Failure(kind=BROKER, name=one.name, code=42, message="Unexpected broker id"),)
            if one.key == throttle.CORDON and one.operation != DELETE and self.node is None:
                return (Failure(kind=BROKER, name=one.name, code=40, message="the new value must be a subset"),)
            mine = world.settings.setdefault((one.kind, one.name), {})
            if one.operation == DELETE:
                mine.pop(one.key, None)
            else:
                mine[one.key] = one.value or ""
            world.journal.append(f"{one.name} {one.key}={mine.get(one.key, '-')}")
        return ()

    async def log_dirs(self, partitions: Mapping[str, Sequence[int]] | None = None) -> tuple[LogDir, ...]:
        world = await self._call()
        copies = tuple(
            Copy(topic=topic, partition=index, size=one.size, future=False)
            for (topic, index), one in world.parts.items()
            if self.node in one.replicas and (partitions is None or index in partitions.get(topic, ()))
        )
        return (LogDir(path="/d", copies=copies, total=10**9, usable=world.free),)

    async def unregister_broker(self, broker: int) -> None:
        world = await self._call()
        if broker not in world.registered:
            raise KafkaError("answered", "BROKER_ID_NOT_REGISTERED (102): no such broker", code=102)
        world.registered.discard(broker)
        world.unregistered.append(broker)
        world.journal.append(f"unregister {broker}")


class FakeBrokers(Brokers):
    """Clients of the model."""

    def __init__(self, world: World, gone: Sequence[int] = ()) -> None:
        self.world, self.gone = world, gone

    def _ask(self, node: int | None) -> Any:
        return Client(self.world, node)

    def reaches(self, node: int) -> bool:
        return node not in self.gone

    async def any(self, ask: Ask[T]) -> T:
        return await ask(self._ask(min(self.world.alive, default=0)))

    async def one(self, node: int, ask: Ask[T]) -> T:
        if node not in self.world.alive:
            raise KafkaError("refused", "no connection")
        return await ask(self._ask(node))

    async def leader(self, ask: Ask[T]) -> T:
        return await ask(self._ask(None))
