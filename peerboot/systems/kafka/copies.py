"""What this node's disk was the last good copy of, by the cluster's word. Changes nothing.

A broker that comes back with an empty directory is taken for the replica that it was: while it is in a partition's ISR
it may lead it, empty, and the others truncate to it (measured on 3.9.2). So it must be out of every ISR first: whoever
is out of it comes back only when it has caught up, whatever happens afterwards. A dead broker is taken out when its
session ends (``broker.session.timeout.ms``, 9 s), unless no other is left in sync; then it stays in for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peerboot.model import ClusterView
from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.connect import connect

if TYPE_CHECKING:
    from peerboot.outside.kafka.values import Metadata

MOST_ASKED = 4
"""Brokers that are asked one after the other until one answers, for each tells of every partition."""
MOST_CONTROLLERS = 16
ENTRIES = 1 << 22
"""Of such an answer: 500,000 partitions of three copies."""
FRAME = 64 << 20
MOST_NAMED = 5
RESCUE = (
    "Where that cannot be, `kafka-leader-election.sh --election-type unclean --topic TOPIC --partition N` lets the "
    "first other replica that is alive lead, with what it has; this server starts then by itself."
)
"""Measured on 4.3.1: a broker that had everything and was fenced a moment before the last one is not in sync by
Metadata, although its copy is whole; elected so, nothing is lost, and a server that started empty would drop it."""


@dataclass(frozen=True)
class Found:
    """What was found out; all empty: others have everything."""

    only_here: tuple[str, ...] = ()
    """Partitions, as ``topic-number``."""
    soon: str = ""
    """What the cluster has not noticed yet; it does so by itself."""
    untold: str = ""
    """Why it is not known."""
    clash: str = ""
    """Not empty: another set's broker has this node's id; where it is."""


async def look(
    config: KafkaConfig, view: ClusterView, addresses: Mapping[str, tuple[str, ...]], timeout: float
) -> Found:
    """Ask brokers whose metadata is fresh, by the leader's word; where none answers, whether this node ever was one.

    Never raises.
    """
    fresh = [one.pod for one in view.views if one.healthy and one.pod != config.identity.pod and one.pod in addresses]
    said = []
    for pod in sorted(fresh)[:MOST_ASKED]:
        told = await _metadata(config, pod, addresses[pod], timeout)
        if isinstance(told, str):
            said.append(f"{pod}: {told}")
        elif told.cluster != view.cluster:
            said.append(f"{pod} is of cluster {told.cluster}")
        else:
            return judge(config, told, {name for path in config.log_dirs for name in _names(Path(path))})
    registered = await is_registered(config, view, addresses, timeout)
    if registered is False:
        # It is blank because it is new, as all are on a set's first day.
        return Found()
    return Found(untold="no other broker of this set answers" + (f" ({'; '.join(said)})" if said else ""))


def judge(config: KafkaConfig, told: Metadata, there: set[str]) -> Found:
    """What an answer means; ``there``: the partitions whose folder is on this disk still."""
    node = config.node
    mine = next((one for one in told.brokers if one.id == node), None)
    if mine is not None and mine.host != config.host_of(config.identity.pod):
        return Found(clash=f"{mine.host}:{mine.port}")
    if bad := next((topic for topic in told.topics if topic.error), None):
        return Found(untold=f"the brokers tell nothing of topic {bad.name or bad.id}: error {bad.error}")
    alive = {broker.id for broker in told.brokers} - {node}
    only_here: list[str] = []
    others: list[str] = []
    for topic in told.topics:
        for one in topic.partitions:
            name = f"{topic.name}-{one.index}"
            # Metadata does not tell who may lead a partition whose ISR is empty.
            if node in one.replicas and (node in one.in_sync or not one.in_sync) and name not in there:
                (others if alive & set(one.in_sync) else only_here).append(name)
    if only_here:
        return Found(only_here=tuple(sorted(only_here)))
    if others:
        names = ", ".join(sorted(others)[:MOST_NAMED])
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        return Found(soon=f"the cluster takes this broker for in sync still, with {names}{more}")
    return Found()


async def is_registered(
    config: KafkaConfig, view: ClusterView, addresses: Mapping[str, tuple[str, ...]], timeout: float
) -> bool | None:
    """Whether the leader knows a broker of this node's id; None when nobody who leads that cluster answers."""
    from peerboot.outside.kafka import Bounds, KafkaError

    bounds = Bounds(open=timeout, read=timeout, call=timeout)

    async def ask(pod: str, address: str) -> bool | None:
        async with connect(config, pod, address, "controller", bounds) as kafka:
            try:
                if (await kafka.describe_cluster()).cluster != view.cluster:
                    return None
                return await kafka.is_registered(config.node)
            except KafkaError:
                return None

    places = _controllers(config, view, addresses)
    answers = await asyncio.gather(*(ask(pod, address) for pod, address in places))
    return next((answer for answer in answers if answer is not None), None)


def _controllers(
    config: KafkaConfig, view: ClusterView, addresses: Mapping[str, tuple[str, ...]]
) -> Sequence[tuple[str, str]]:
    """Pod, empty for one of another set, and address of each."""
    if not config.is_controller:
        return [("", address) for address in addresses.get(config.quorum_service, ())][:MOST_CONTROLLERS]
    return [(one.pod, one.address) for one in view.views if one.address][:MOST_CONTROLLERS]


async def _metadata(config: KafkaConfig, pod: str, addresses: Sequence[str], timeout: float) -> Metadata | str:
    """Every topic by one broker, or why not."""
    from peerboot.outside.kafka import Bounds, KafkaError

    why = "it has no address"
    bounds = Bounds(open=timeout, read=timeout, call=timeout, frame=FRAME, entries=ENTRIES)
    for address in addresses[:2]:
        async with connect(config, pod, address, "broker", bounds) as kafka:
            try:
                return await kafka.metadata()
            except KafkaError as error:
                why = str(error)
    return why


def _names(directory: Path) -> list[str]:
    try:
        return [path.name for path in directory.iterdir()]
    except OSError:
        return []
