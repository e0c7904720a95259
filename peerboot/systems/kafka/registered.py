"""Brokers that are gone with their Pods and are registered still: which, and what they hold. Kafka tells from 4.0 on.

Who is fenced is asked with every look, what it holds once a minute at most: that is a question about every topic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peerboot.model import Registration
from peerboot.systems.kafka.config import KafkaConfig

if TYPE_CHECKING:
    from peerboot.outside.kafka import Kafka
    from peerboot.outside.kafka.values import Metadata, Nodes

ONCE = 60.0
"""Seconds between two questions about every topic."""
UNKNOWN = "what is not known yet"


@dataclass
class Registry:
    """What was heard last."""

    at: float = -1.0
    nodes: tuple[int, ...] = ()
    holds: Mapping[int, str] | None = None

    async def look(
        self, config: KafkaConfig, kafka: Kafka, nodes: Nodes, addresses: Mapping[str, tuple[str, ...]], now: float
    ) -> tuple[Registration, ...]:
        """The registrations of gone Pods of this set, by a broker that has just told ``nodes``; never raises."""
        from peerboot.outside.kafka import KafkaError

        gone = gone_of(config, nodes, addresses)
        if not gone:
            self.nodes = ()
            return ()
        if gone != self.nodes or now - self.at >= ONCE or self.holds is None:
            self.nodes, self.at, self.holds = gone, now, None
            try:
                self.holds = held_by(await kafka.metadata(None), gone)
            except KafkaError:
                # Whoever is not known to hold nothing is left alone.
                self.holds = dict.fromkeys(gone, UNKNOWN)
        return tuple(
            Registration(
                pod=config.pod_of(node),
                id=str(node),
                holds=self.holds.get(node, UNKNOWN),
                remedy=f"`peerboot kafka drain {config.pod_of(node)} --yes` makes them anew at the other brokers",
            )
            for node in gone
        )


def gone_of(config: KafkaConfig, nodes: Nodes, addresses: Mapping[str, tuple[str, ...]]) -> tuple[int, ...]:
    """Fenced brokers of this set whose Pods DNS does not have. By its host another set's is told, whatever its id."""
    return tuple(
        sorted(
            node.id
            for node in nodes.nodes
            if node.fenced
            and (pod := config.pod_of(node.id))
            and not addresses.get(pod)
            and node.host == config.host_of(pod)
        )
    )


def held_by(told: Metadata, nodes: tuple[int, ...]) -> Mapping[int, str]:
    """What each of these has, in words; empty for nothing."""
    found: dict[int, list[str]] = {node: [] for node in nodes}
    partial = any(topic.error for topic in told.topics)
    for topic in told.topics:
        for part in topic.partitions:
            for node in set(part.replicas) & set(found):
                found[node].append(f"{topic.name}-{part.index}")
    return {node: _words(names) or (UNKNOWN if partial else "") for node, names in found.items()}


def _words(names: list[str]) -> str:
    if not names:
        return ""
    return f"{len(names)} {'replica' if len(names) == 1 else 'replicas'}, as of {names[0]}"
