"""Brokers that are gone with their Pods and are registered still: which, and what they hold. Kafka tells from 4.0 on.

Who is fenced is judged every few seconds, and what it holds is asked once a minute at most, or when somebody else is
gone: that is a question about every topic.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peerboot.model import Registration
from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.ownbroker import OwnBroker

if TYPE_CHECKING:
    from peerboot.outside.kafka.values import Metadata, Nodes

ONCE = 60.0
"""Seconds between two questions about every topic."""
PAUSE = 5.0
"""Seconds between two judgements of who is gone: one that comes and goes has every topic asked for no more often."""
UNKNOWN = "what is not known yet"


@dataclass
class Registry:
    """What was heard last."""

    asked_at: float = -1e9
    nodes: tuple[int, ...] = ()
    """Those that are gone."""
    held_at: float = -1e9
    holds: Mapping[int, str] = field(default_factory=dict)

    async def look(
        self, config: KafkaConfig, mine: OwnBroker | None, addresses: Mapping[str, tuple[str, ...]], now: float
    ) -> tuple[Registration, ...]:
        """The registrations of gone Pods of this set, by this Pod's broker; None: it does not answer. Never raises."""
        if config.is_broker and now - self.asked_at >= PAUSE:
            self.asked_at = now
            await self._ask(config, mine, addresses, now)
        return tuple(
            Registration(
                pod=config.pod_of(node),
                id=str(node),
                holds=self.holds.get(node, UNKNOWN),
                remedy=f"`peerboot kafka drain {config.pod_of(node)} --yes` makes them anew at the other brokers",
            )
            for node in self.nodes
        )

    async def _ask(
        self, config: KafkaConfig, mine: OwnBroker | None, addresses: Mapping[str, tuple[str, ...]], now: float
    ) -> None:
        from peerboot.outside.kafka import KafkaError

        known, self.nodes = self.nodes, ()
        if mine is None:
            return
        self.nodes = gone_of(config, mine.nodes, addresses)
        if self.nodes and (self.nodes != known or now - self.held_at >= ONCE):
            self.holds = {}  # whoever is not known to hold nothing is left alone
            with contextlib.suppress(KafkaError):
                self.holds, self.held_at = held_by(await mine.metadata(), self.nodes), now


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
    found: dict[int, list[tuple[str, int]]] = {node: [] for node in nodes}
    partial = any(topic.error for topic in told.topics)
    for topic in told.topics:
        for part in topic.partitions:
            for node in set(part.replicas) & set(found):
                found[node].append((topic.name, part.index))
    return {node: _words(names) or (UNKNOWN if partial else "") for node, names in found.items()}


def _words(parts: list[tuple[str, int]]) -> str:
    if not parts:
        return ""
    topic, index = min(parts)
    return f"{len(parts)} {'replica' if len(parts) == 1 else 'replicas'}, as of {topic}-{index}"
