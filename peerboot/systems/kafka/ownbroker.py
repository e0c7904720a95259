"""This Pod's own broker, as one look asks it: one connection, and each large answer once. Changes nothing.

A broker answers the requests of one connection one after the other, and DescribeQuorum not at all while there is no
leader: so that is asked last, or the other parts of a look would take its silence for theirs. Where a call has broken
the connection the next one opens another, so that no part goes without its answer because of a part before it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.connect import connect

if TYPE_CHECKING:
    from peerboot.outside.kafka import Kafka, KafkaError
    from peerboot.outside.kafka.values import Metadata, Nodes, Server

MOST_ADDRESSES = 4
SHUT = ("tls", "sasl")
"""Outcomes of one that is there and whom peerboot's own certificates or login do not suit."""


class Shut(NamedTuple):
    """It is there, and maybe serves others, and does not let peerboot in."""

    why: str


class Slow(NamedTuple):
    """It took the connection, or somebody did, and does not answer within the time of a look."""

    why: str


class OwnBroker:
    """One that answered; made by ``opened``, and good until its end."""

    def __init__(self, kafka: Kafka, address: str, server: Server, nodes: Nodes) -> None:
        self.kafka = kafka
        self.address = address
        self.server = server
        self.nodes = nodes
        """The brokers of its cluster, from 4.0 on the fenced ones too."""
        self._metadata: Metadata | KafkaError | None = None

    async def metadata(self) -> Metadata:
        """Every topic, read for the first who asks; the others get the same, be it an error. Raises ``KafkaError``."""
        from peerboot.outside.kafka import KafkaError

        if self._metadata is None:
            try:
                self._metadata = await self.kafka.metadata()
            except KafkaError as error:
                self._metadata = error
        if isinstance(self._metadata, KafkaError):
            raise self._metadata
        return self._metadata


@asynccontextmanager
async def opened(
    config: KafkaConfig, addresses: Iterable[str], timeout: float
) -> AsyncIterator[OwnBroker | Shut | Slow | None]:
    """The broker at the first of this Pod's addresses that answers; None where none does, and for a Pod without one."""
    from peerboot.outside.kafka import Bounds, KafkaError

    bounds = Bounds(open=timeout, read=timeout, call=timeout)
    otherwise: Shut | Slow | None = None
    for address in tuple(addresses)[:MOST_ADDRESSES] if config.is_broker else ():
        async with connect(config, config.identity.pod, address, "broker", bounds) as kafka:
            try:
                found = OwnBroker(kafka, address, await kafka.versions(), await kafka.describe_cluster(fenced=True))
            except KafkaError as error:
                if error.outcome in SHUT:
                    otherwise = Shut(str(error))
                elif error.outcome == "timeout" and otherwise is None:
                    otherwise = Slow(str(error))
                continue
            yield found
            return
    yield otherwise
