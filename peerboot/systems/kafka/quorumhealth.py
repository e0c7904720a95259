"""How well the controllers' quorum is: numbers and warnings. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from peerboot.model import ClusterView, Finding, Gauge
from peerboot.systems.kafka.config import KafkaConfig

if TYPE_CHECKING:
    from peerboot.outside.kafka.values import Quorum, Replica

LEVEL_3_9 = 21
"""metadata.version of 3.9-IV0, the highest that a 3.9 server supports (MetadataVersion)."""
OBSERVES_MS = 4000
"""An observer that has fetched within this time is there."""


def with_quorum(config: KafkaConfig, view: ClusterView, quorum: Quorum | None, level: int, leader: int) -> ClusterView:
    """Add numbers and warnings of the controllers. ``level``: the highest metadata.version that the own controller
    supports, 0 when it did not answer; ``leader``: whom it believes to lead, -1 for nobody.
    """
    import msgspec

    gauges = [Gauge(name="kafka_leader_known", text="1 while the own controller knows a leader.", value=leader >= 0)]
    if quorum is not None and view.quorum:
        gauges += _lags(config, quorum)
    findings = (*_even(config, view), *_early(config, level))
    return msgspec.structs.replace(view, gauges=(*view.gauges, *gauges), findings=(*view.findings, *findings))


def _lags(config: KafkaConfig, quorum: Quorum) -> list[Gauge]:
    """How far the others are behind the leader. Observers are controllers without a vote, and brokers of other sets."""
    end = max((one.end_offset for one in quorum.voters), default=0)
    now = max((one.fetched_ms for one in (*quorum.voters, *quorum.observers)), default=-1)
    observers = [one for one in quorum.observers if one.fetched_ms > 0 and now - one.fetched_ms <= OBSERVES_MS]

    def lag(replicas: Iterable[Replica]) -> float:
        return float(max((max(end - max(one.end_offset, 0), 0) for one in replicas), default=0))

    own = [one for one in (*quorum.voters, *observers) if one.id == config.node]
    found = [
        Gauge(name="kafka_observers", text="Observers that fetch, brokers included.", value=len(observers)),
        Gauge(name="kafka_voter_lag_max", text="Records that the furthest voter is behind.", value=lag(quorum.voters)),
        Gauge(
            name="kafka_observer_lag_max", text="Records that the furthest observer is behind.", value=lag(observers)
        ),
    ]
    if own:
        # Its former self may be listed beside it, with a disk that is gone: the one that fetched last is this one.
        newest = max(own, key=lambda one: one.fetched_ms)
        found.append(Gauge(name="kafka_lag", text="Records that this Pod's controller is behind.", value=lag([newest])))
    return found


def _even(config: KafkaConfig, view: ClusterView) -> tuple[Finding, ...]:
    """An even number of voters that is meant to stay: a set that grows by two has one for a moment only."""
    voters = sum(not member.learner for member in view.members)
    expected = config.identity.replicas
    if not config.is_controller or not view.quorum or voters == 0 or voters % 2 or expected not in (None, voters):
        return ()
    if voters == 2:
        say = "The quorum has 2 controllers, and is lost with either of them: 1 is safer than 2, and 3 tolerate a loss."
    else:
        say = (
            f"The quorum has {voters} controllers, which tolerate the loss of {voters // 2 - 1}, no more than "
            f"{voters - 1} would: make it {voters - 1} or {voters + 1}."
        )
    return (Finding(name="even-controllers", say=say),)


def _early(config: KafkaConfig, level: int) -> tuple[Finding, ...]:
    """Kafka 3.9, by what its controller supports: an update of the software is what helps, not of the metadata."""
    if level != LEVEL_3_9 or config.quorum != "dynamic":
        return ()
    say = (
        "This is Kafka 3.9, the first release whose voters can be replaced (KIP-853), and its command that makes a "
        "static quorum a dynamic one does not do so: prefer 4.1 or later."
    )
    return (Finding(name="kafka-3.9", say=say),)
