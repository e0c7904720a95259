"""The calls: to whoever can answer them, within bounds, and never twice when the first may have arrived.

Controllers do not forward: one that does not lead says 6 or 41, and DescribeCluster, which any controller answers,
names the leader (maybe one that died seconds ago, so the others are tried after it). Brokers forward to the leader.
A read goes on to the next server whatever happened; a change only where it cannot have arrived (``KafkaError.sent``).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Literal, Self, TypeVar

from peerboot.outside.kafka import configs, requests, responses
from peerboot.outside.kafka.connection import FRAME, Address, Connection, connect
from peerboot.outside.kafka.errors import KafkaError
from peerboot.outside.kafka.requests import Api, TopicPartition
from peerboot.outside.kafka.scram import Login
from peerboot.outside.kafka.values import (
    ConfigChange,
    Configs,
    Endpoint,
    Failure,
    LogDir,
    Metadata,
    Move,
    Nodes,
    Quorum,
    Refusal,
    Resource,
    Server,
)
from peerboot.outside.kafka.wire import MAX_ENTRIES, Reader

T = TypeVar("T")
Kind = Literal["controller", "broker"]
Once = Callable[[Connection, float], Awaitable[T]]
"""What is done with one connection by a deadline."""
MAX_ADDRESSES = 32
"""Servers that one call tries at most."""
MAX_OPEN = 4
"""Connections that are kept."""
INVALID_ASSIGNMENT, UNREGISTERED, FENCED = 39, "no such broker is registered", "are fenced or in controlled shutdown"
"""Measured on 3.9.2, 4.1.2 and 4.3.1."""
FINAL = ("answered", "unsupported")
"""Outcomes that another server would only repeat."""
TELLING = ("not-leader", "sasl", "tls", "protocol", "timeout", "refused")
"""Outcomes, the most telling first: one that answered says more than one that is down."""


@dataclass(frozen=True)
class Bounds:
    """Seconds, bytes and numbers that nothing goes beyond."""

    open: float = 2.0
    """From nothing to connected and logged in, for each server."""
    read: float = 3.0
    """The answer to a read, for each server; a broker does not answer DescribeQuorum while there is no leader."""
    call: float = 10.0
    """A call as a whole, however many servers it tries. A change may use all of it."""
    frame: int = FRAME
    """Bytes of an answer."""
    entries: int = MAX_ENTRIES
    """Entries of all arrays of an answer together."""


class Kafka:
    """A client of one cluster's controllers or brokers. Keeps connections; ``close`` it, or use ``async with``.

    Every method raises ``KafkaError`` and nothing else, but for ``ValueError`` where an argument cannot be written.
    """

    def __init__(
        self,
        servers: Iterable[Address],
        *,
        kind: Kind,
        tls: ssl.SSLContext | None = None,
        tls_name: str = "",
        login: Login | None = None,
        bounds: Bounds | None = None,
        follow: bool = True,
    ) -> None:
        """``servers``: where to begin, in this order. ``kind``: whose listeners these are. ``tls_name``: what every
        certificate has to name instead of the host that is asked. ``follow``: a controller that does not lead is asked
        who does, and that one is tried.
        """
        self._servers = tuple(dict.fromkeys(servers))
        if not self._servers:
            raise ValueError("no server to ask")
        self._kind = kind
        self._tls = tls
        self._tls_name = tls_name
        self._login = login
        self._bounds = bounds or Bounds()
        self._follow = follow
        self._open: dict[Address, Connection] = {}
        self._opening = asyncio.Lock()
        self._last: Address | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        kept, self._open = self._open, {}
        for connection in kept.values():
            await connection.close()

    async def versions(self) -> Server:
        """ApiVersions of the first server that answers."""

        async def known(connection: Connection, _deadline: float) -> Server:
            return connection.server

        return await self._ask(requests.API_VERSIONS, known)

    async def describe_quorum(self) -> Quorum:
        """The leader's view of voters and observers. Through a broker there is no answer while there is no leader."""
        body = requests.describe_quorum()
        return await self._call(requests.DESCRIBE_QUORUM, lambda _: body, responses.describe_quorum)

    async def describe_cluster(self, *, fenced: bool = False) -> Nodes:
        """The brokers by a broker, the controllers by a controller. ``fenced``: fenced brokers too, from 4.0 on."""
        fenced = fenced and self._kind == "broker"
        return await self._call(
            requests.DESCRIBE_CLUSTER, partial(self._describe_cluster, fenced=fenced), responses.describe_cluster
        )

    async def add_voter(self, cluster: str, node: int, directory: str, endpoints: Sequence[Endpoint]) -> None:
        """Make an observer a voter: in sync, with this directory id, its first endpoint the controllers' listener.

        126 is also the answer for a voter that is there with another directory id; 7 has several reasons, see its text.
        """
        body = partial(
            requests.add_voter,
            cluster=cluster,
            timeout_ms=self._wait_ms(),
            node=node,
            directory=directory,
            endpoints=endpoints,
        )
        await self._call(requests.ADD_VOTER, body, responses.plain)

    async def remove_voter(self, cluster: str, node: int, directory: str) -> None:
        """Remove the voter with this id and directory id. 127 is also the answer for the last one, which stays."""
        body = requests.remove_voter(cluster=cluster, node=node, directory=directory)
        await self._call(requests.REMOVE_VOTER, lambda _: body, responses.plain)

    async def unregister_broker(self, broker: int) -> None:
        """Forget a broker. Kafka does not check that it is stopped or empty; 102: there was none."""
        body = requests.unregister_broker(broker)
        await self._call(requests.UNREGISTER_BROKER, lambda _: body, responses.plain)

    async def is_registered(self, broker: int) -> bool | None:
        """Whether the cluster knows a broker of this id, alive or not; None: it does not say. Changes nothing.

        No call of a controller lists the brokers. So it is asked whether a topic could be made with its copy there
        (CreateTopics, ``validateOnly``), and says in words when no such broker is registered
        (ReplicationControlManager.validateManualPartitionAssignment), or that it is fenced. A policy or an authorizer
        may refuse for other reasons.
        """
        name = f"peerboot-asks-for-broker-{broker}"
        body = requests.could_create(name, broker, timeout_ms=self._wait_ms())
        code, message = await self._call(requests.CREATE_TOPICS, lambda _: body, responses.could_create)
        if code == INVALID_ASSIGNMENT and (UNREGISTERED in message or FENCED in message):
            return UNREGISTERED not in message
        return True if code == 0 else None

    async def upgrade_features(self, levels: Mapping[str, int], *, validate_only: bool = False) -> None:
        """Raise features to these levels, as ``{"kraft.version": 1}``."""
        body = requests.update_features(
            timeout_ms=self._wait_ms(), levels=levels, upgrade=requests.UPGRADE, validate_only=validate_only
        )
        await self._call(requests.UPDATE_FEATURES, lambda _: body, responses.update_features)

    async def metadata(self, topics: Sequence[str] | None = None) -> Metadata:
        """Topics with their replicas, internal ones included; brokers only. None: all of them."""
        body = requests.metadata(topics)
        return await self._call(requests.METADATA, lambda _: body, responses.metadata)

    async def alter_reassignments(self, moves: Mapping[TopicPartition, Sequence[int] | None]) -> tuple[Refusal, ...]:
        """Begin to move partitions to these brokers, the preferred leader first; None cancels. Gives those refused."""
        body = partial(requests.alter_reassignments, timeout_ms=self._wait_ms(), moves=moves)
        return await self._call(requests.ALTER_REASSIGNMENTS, body, responses.alter_reassignments)

    async def list_reassignments(self, partitions: Mapping[str, Sequence[int]] | None = None) -> tuple[Move, ...]:
        """What is under way; None: of all topics."""
        body = requests.list_reassignments(timeout_ms=self._wait_ms(), partitions=partitions)
        return await self._call(requests.LIST_REASSIGNMENTS, lambda _: body, responses.list_reassignments)

    async def describe_configs(self, resources: Mapping[Resource, Sequence[str] | None]) -> tuple[Configs, ...]:
        """Settings of topics and brokers; None: all keys. A broker tells its own and no other broker's."""
        body = requests.describe_configs(resources)
        return await self._call(requests.DESCRIBE_CONFIGS, lambda _: body, configs.describe_configs)

    async def alter_configs(self, changes: Sequence[ConfigChange]) -> tuple[Failure, ...]:
        """Change settings, and leave what is not named. Gives the topics and brokers whose settings stay as they were.

        A broker's own are taken by that broker and by the controllers (from 3.7 on) only.
        """
        body = requests.alter_configs(changes)
        return await self._call(requests.ALTER_CONFIGS, lambda _: body, configs.alter_configs)

    async def log_dirs(self, partitions: Mapping[str, Sequence[int]] | None = None) -> tuple[LogDir, ...]:
        """What lies on the disks of the broker that answers, and how much room they have. Ask one broker alone."""
        body = requests.describe_log_dirs(partitions)
        return await self._call(requests.DESCRIBE_LOG_DIRS, lambda _: body, configs.describe_log_dirs)

    def _wait_ms(self) -> int:
        """How long a server may take: a little less than this side waits, so that its reason arrives."""
        return max(1, int(self._bounds.call * 800))

    def _describe_cluster(self, version: int, *, fenced: bool = False) -> bytes:
        kind = requests.BROKERS if self._kind == "broker" else requests.CONTROLLERS
        return requests.describe_cluster(version, kind, fenced=fenced)

    async def _call(self, api: Api, body: Callable[[int], bytes], decode: Callable[[Reader, int], T]) -> T:
        """One call in the best version of each server that is tried."""
        return await self._ask(api, partial(self._send, api, body, decode))

    async def _send(
        self,
        api: Api,
        body: Callable[[int], bytes],
        decode: Callable[[Reader, int], T],
        connection: Connection,
        deadline: float,
    ) -> T:
        version = connection.version(api)
        until = deadline if api.change else min(deadline, _now() + self._bounds.read)
        return await connection.call(
            api,
            version,
            body(version),
            lambda read: decode(read, version),
            deadline=until,
            entries=self._bounds.entries,
        )

    async def _ask(self, api: Api, once: Once[T]) -> T:
        """Try who answered the last time, then the others, then those that they name."""
        deadline = _now() + self._bounds.call
        waiting = list(dict.fromkeys((*filter(None, [self._last]), *self._servers)))
        tried: dict[Address, KafkaError] = {}
        while waiting and len(tried) < MAX_ADDRESSES and _now() < deadline:
            address = waiting.pop(0)
            try:
                found = await self._try(address, api, once, deadline)
            except KafkaError as error:
                tried[address] = error
                if error.outcome in FINAL or (api.change and error.sent):
                    raise error.at(f"{api.name} at {address}") from None
                if error.outcome == "not-leader" and self._follow:
                    named = await self._named(address, deadline)
                    waiting = [one for one in dict.fromkeys((*named, *waiting)) if one not in tried]
            else:
                self._last = address
                return found
        raise self._nobody(api, tried)

    async def _try(self, address: Address, api: Api, once: Once[T], deadline: float) -> T:
        """One call to one server; once more where a kept connection turned out to be dead, unless it may be done."""
        connection, fresh = await self._connection(address, deadline)
        try:
            return await once(connection, deadline)
        except KafkaError as error:
            if fresh or error.outcome != "refused" or (api.change and error.sent):
                raise
        connection, _ = await self._connection(address, deadline)
        return await once(connection, deadline)

    async def _connection(self, address: Address, deadline: float) -> tuple[Connection, bool]:
        """A connection, and whether it is a new one."""
        # Two calls at the same time have one connection to a server, not two of which one would be forgotten.
        async with self._opening:
            return await self._kept_or_new(address, deadline)

    async def _kept_or_new(self, address: Address, deadline: float) -> tuple[Connection, bool]:
        found = self._open.pop(address, None)
        if found is not None and not found.usable:
            await found.close()
            found = None
        fresh = found is None
        if found is None:
            found = await connect(
                address,
                tls=self._tls,
                tls_name=self._tls_name,
                login=self._login,
                deadline=min(deadline, _now() + self._bounds.open),
                limit=self._bounds.frame,
            )
        # Whoever is asked last is kept longest.
        self._open[address] = found
        idle = [one for one, connection in self._open.items() if not connection.busy and one != address]
        for one in idle[: max(0, len(self._open) - MAX_OPEN)]:
            await self._open.pop(one).close()
        return found, fresh

    async def _named(self, address: Address, deadline: float) -> list[Address]:
        """The controllers that one of them names, the leader first; none if it does not know (before the first one)."""
        if self._kind == "broker":
            return []
        api = requests.DESCRIBE_CLUSTER
        once: Once[Nodes] = partial(self._send, api, self._describe_cluster, responses.describe_cluster)
        try:
            nodes = await self._try(address, api, once, deadline)
        except KafkaError:
            return []
        ordered = sorted(nodes.nodes, key=lambda node: node.id != nodes.controller)[:MAX_ADDRESSES]
        return [Address(node.host, node.port) for node in ordered if node.host and 0 < node.port < 65536]

    def _nobody(self, api: Api, tried: Mapping[Address, KafkaError]) -> KafkaError:
        """The error of a call that nobody answered: the one that says most, and how each server failed."""
        if not tried:
            return KafkaError("timeout", f"{api.name}: no time left")
        if len(tried) == 1:
            [(address, error)] = tried.items()
            return KafkaError(error.outcome, f"{api.name} at {address}: {error}", code=error.code)
        best = next((e for word in TELLING for e in tried.values() if e.outcome == word), next(iter(tried.values())))
        each = "; ".join(f"{address}: {error}" for address, error in tried.items())
        return KafkaError(best.outcome, f"{api.name}: no {self._kind} did it: {each}", code=best.code)


def _now() -> float:
    return asyncio.get_running_loop().time()
