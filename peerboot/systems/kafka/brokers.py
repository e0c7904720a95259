"""Look at the cluster of brokers that are a set of their own. Changes nothing.

The quorum is that of the controllers, another StatefulSet: a broker that runs passes the question on to their leader,
and before it does their headless Service says where they are. A broker has no vote. While it runs it follows the
metadata log as an observer, under its node id and the directory id of its own metadata directory (Fetch 17, KIP-853).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from peerboot.model import ClusterView, Member, ServerView
from peerboot.systems.kafka import assess, controllers, ids, quorumhealth
from peerboot.systems.kafka.assess import Seen
from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.ownbroker import OwnBroker

MOST_CONTROLLERS = 16
"""Addresses of the controllers' Service that are asked."""
MOST_NAMED = 5


async def look(
    config: KafkaConfig,
    addresses: Mapping[str, tuple[str, ...]],
    told: Seen | None,
    *,
    timeout: float,
    now: float,
    prefer: str,
) -> ClusterView:
    """What the own broker was told (``passed_on``), and the controllers where it does not know a quorum. Never raises.

    ``addresses``: by pod of this set, and those of the controllers by the name of their Service.
    """
    if told is not None and told.quorum is not None and assess.stands(told.quorum):
        return _view(config, told, addresses, now)
    places = addresses.get(config.quorum_service, ())[:MOST_CONTROLLERS]
    answers = await asyncio.gather(*(assess.one_controller(config, "", [place], timeout) for place in places))
    seen = [one for one in answers if one is not None]
    leading = {one.cluster: one for one in seen if one.quorum is not None and assess.stands(one.quorum)}
    found = leading.get(prefer) or (next(iter(leading.values())) if len(leading) == 1 else None)
    if found is None:
        return ClusterView(elsewhere=_why_none(config, places, seen, len(leading)), at=now)
    return _view(config, found, addresses, now)


async def passed_on(config: KafkaConfig, mine: OwnBroker | None) -> Seen | None:
    """What the own broker passes on of the controllers' leader, None while it does not answer. Never raises."""
    from peerboot.outside.kafka import KafkaError

    if mine is None:
        return None
    try:
        quorum = await mine.kafka.describe_quorum()
    except KafkaError:
        quorum = None  # while there is no leader it does not answer
    level = mine.server.highest("metadata.version")
    leader = -1 if quorum is None else quorum.leader
    return Seen(config.identity.pod, mine.address, mine.nodes.cluster, leader, quorum, level)


def _why_none(config: KafkaConfig, places: Sequence[str], seen: Sequence[Seen], leaders: int) -> str:
    """Who was asked, and what came of it."""
    if leaders > 1:
        return f"behind {config.quorum_service} are leaders of {leaders} clusters: let it select one set's Pods only"
    if not places:
        return f"DNS gave no address for {config.quorum_service}"
    shut = next((one for one in seen if one.shut), None)
    if shut is not None:
        return f"{shut.address} does not let peerboot in: {shut.shut}"
    answer = {one.address for one in seen}
    silent = [place for place in places if place not in answer]
    parts = []
    if seen:
        parts.append(f"{_some([one.address for one in seen])} {'answers' if len(seen) == 1 else 'answer'} without")
    if silent:
        parts.append(f"{_some(silent)} {'does' if len(silent) == 1 else 'do'} not answer")
    return "; ".join(parts)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _view(config: KafkaConfig, told: Seen, addresses: Mapping[str, tuple[str, ...]], now: float) -> ClusterView:
    """The brokers of this set that follow the leader now, as members."""
    quorum = told.quorum
    assert quorum is not None  # noqa: S101 - the caller has looked
    members, views = [], []
    lead = quorum.voter(quorum.leader)
    for replica in assess.observers_of(config, quorum, addresses):
        pod, member = config.pod_of(replica.id), ids.member_id(replica.id, replica.directory)
        where = f"{config.host_of(pod)}:{config.broker_port}"
        members.append(Member(id=member, name=pod, pod=pod, peer_urls=(where,), client_urls=(where,)))
        views.append(
            ServerView(
                pod=pod,
                address=next(iter(addresses.get(pod, ())), ""),
                cluster=told.cluster,
                member=member,
                leader=ids.member_id(lead.id, lead.directory) if lead else "",
                applied=max(replica.end_offset, 0),
                healthy=assess.in_sync(quorum, replica),
            )
        )
    found = ClusterView(
        quorum=True,
        cluster=told.cluster,
        members=tuple(members),
        views=tuple(views),
        unmanaged=_unmanaged(config, told),
        at=now,
    )
    return quorumhealth.with_quorum(config, found, quorum, told.level, told.leader)


def _unmanaged(config: KafkaConfig, told: Seen) -> str:
    quorum = told.quorum
    if quorum is None:
        return ""
    if quorum.voters and not quorum.dynamic:
        return (
            "has a static quorum (its voters have no directory ids), and this release of peerboot runs brokers of a "
            "set of their own beside a dynamic one only. Make it a dynamic one first (`peerboot kafka migrate` in a "
            "controller's Pod, Kafka 4.1 or later)"
        )
    if quorum.voter(config.node) is not None:
        return controllers.taken(config.node, "controller", "broker")
    return ""
