"""Which partitions had their last good copy on this node's disk, by the cluster's word. Changes nothing.

A broker that comes back with an empty directory is taken for the replica that it was: if it is the only one in the ISR
it leads, empty, and the others truncate to it (measured on 3.9.2). Kafka 4.1 and later remember eligible leaders for
clusters that were formed there (KIP-966), and with one copy nothing helps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from peerboot.model import ClusterView
from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.connect import connect

if TYPE_CHECKING:
    from peerboot.outside.kafka.values import Metadata

MOST_ASKED = 8
"""Controllers, and as many brokers, that are tried until one answers."""
MOST_KEPT = 1000
"""Partitions by name."""


async def look(
    config: KafkaConfig, view: ClusterView, addresses: Mapping[str, tuple[str, ...]], timeout: float
) -> tuple[tuple[str, ...], str]:
    """The partitions, as ``topic-number``, and why it is not known which; both empty where there are none.

    A node that the cluster does not know as a broker never had any. Never raises.
    """
    registered = await _is_registered(config, view, addresses, timeout)
    if registered is None:
        return (), f"no controller says whether node {config.node} was a broker before"
    if not registered:
        return (), ""
    others = [pod for pod in addresses if pod != config.identity.pod and config.identity.ordinal_of(pod) is not None]
    for pod in sorted(others)[:MOST_ASKED]:
        told = await _metadata(config, pod, addresses[pod], timeout)
        if told is not None:
            there = {name for directory in config.log_dirs for name in _names(Path(directory))}
            return tuple(name for name in endangered(told, config.node) if name not in there)[:MOST_KEPT], ""
    return (), "no other broker of this set answers"


def endangered(told: Metadata, node: int) -> list[str]:
    """Partitions that this node may lead although no other that is there now is in sync.

    One whose ISR is empty counts too: Metadata does not tell who may lead it then.
    """
    alive = {broker.id for broker in told.brokers} - {node}
    return [
        f"{topic.name}-{one.index}"
        for topic in told.topics
        for one in topic.partitions
        if node in one.replicas and (node in one.in_sync or not one.in_sync) and not alive & set(one.in_sync)
    ]


async def _is_registered(
    config: KafkaConfig, view: ClusterView, addresses: Mapping[str, tuple[str, ...]], timeout: float
) -> bool | None:
    """What the leader says; None when nobody who leads answers."""
    from peerboot.outside.kafka import Bounds, KafkaError

    bounds = Bounds(open=timeout, read=timeout, call=timeout)
    for pod, address in _controllers(config, view, addresses):
        async with connect(config, pod, address, "controller", bounds) as kafka:
            try:
                return await kafka.is_registered(config.node)
            except KafkaError:
                continue
    return None


def _controllers(
    config: KafkaConfig, view: ClusterView, addresses: Mapping[str, tuple[str, ...]]
) -> Sequence[tuple[str, str]]:
    """Pod and address of each, the leader first where it is known."""
    if not config.is_controller:
        return [("", address) for address in addresses.get(config.quorum_service, ())][:MOST_ASKED]
    views = sorted(view.views, key=lambda one: one.member != one.leader)
    return [(one.pod, one.address) for one in views if one.address][:MOST_ASKED]


async def _metadata(config: KafkaConfig, pod: str, addresses: Sequence[str], timeout: float) -> Metadata | None:
    from peerboot.outside.kafka import Bounds, KafkaError

    bounds = Bounds(open=timeout, read=timeout, call=timeout)
    for address in addresses[:4]:
        async with connect(config, pod, address, "broker", bounds) as kafka:
            try:
                return await kafka.metadata()
            except KafkaError:
                continue
    return None


def _names(directory: Path) -> list[str]:
    try:
        return [path.name for path in directory.iterdir()]
    except OSError:
        return []
