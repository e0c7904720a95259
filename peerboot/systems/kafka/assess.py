"""Look at Kafka's controllers: which answer, of which cluster, who leads, who votes and who follows. Changes nothing.

A controller that does not lead tells its cluster and little else; who votes, who only observes and who has caught up
is the leader's word (DescribeQuorum). All its times are of the leader's clock, so they are compared with each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from peerboot.model import ClusterView, Finding, Member, ServerView
from peerboot.systems.kafka import ids, quorumhealth, staticview
from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.connect import connect
from peerboot.systems.kafka.ownbroker import SHUT

if TYPE_CHECKING:
    from peerboot.outside.kafka.values import Quorum, Replica

AT_ONCE = 16
MAX_SERVERS = 64
ALIVE_MS = 4000
"""A voter that has fetched within this time is there; a follower fetches at least twice a second."""
IN_SYNC_MS = 2000
"""controller.quorum.fetch.timeout.ms: one that was not caught up for longer is not in sync."""


STATIC = (
    "has a static quorum (its voters have no directory ids), and PEERBOOT_KAFKA_QUORUM is dynamic: set it to static on "
    "all Pods, and then make it a dynamic one with `peerboot kafka migrate` if you like (Kafka 4.1 or later)"
)


@dataclass(frozen=True)
class Seen:
    """What the controller of one pod said."""

    pod: str
    address: str
    cluster: str
    """Empty while it has never seen a leader."""
    leader: int = -1
    """Node id, maybe of one that died seconds ago."""
    quorum: Quorum | None = None
    """By the leader only."""
    level: int = 0
    """The highest metadata.version that it supports."""
    shut: str = ""
    """Why it did not let peerboot in; then nothing else is known."""


async def look(
    config: KafkaConfig,
    addresses: Mapping[str, tuple[str, ...]],
    *,
    rest: bool,
    timeout: float,
    now: float,
    prefer: str,
    member: str = "",
) -> ClusterView:
    """Ask the controllers; at rest the own one, and the one that it says leads. Never raises.

    ``prefer``: the cluster of the own data, which decides when leaders of several clusters answer. ``member``: that of
    the own disk, which names the own voter of a static quorum.
    """
    if rest and addresses.get(config.identity.pod):
        few = await _own_and_leader(config, addresses, timeout)
        found = _view(config, few, (), addresses, prefer, now, member)
        if found.quorum:
            return _told(config, found, few)
    seen, silent = await _everyone(config, addresses, timeout)
    view = _view(config, [one for one in seen if not one.shut], silent, addresses, prefer, now, member)
    shut = [one for one in seen if one.shut]
    view = msgspec.structs.replace(
        view,
        findings=tuple(_shut(one) for one in shut),
        unreachable=(*view.unreachable, *(one.pod for one in shut)),
    )
    return _told(config, view, seen)


async def _everyone(
    config: KafkaConfig, addresses: Mapping[str, tuple[str, ...]], timeout: float
) -> tuple[list[Seen], tuple[str, ...]]:
    gate = asyncio.Semaphore(AT_ONCE)
    own = config.identity.pod
    pods = sorted(addresses, key=lambda p: (p != own, config.identity.ordinal_of(p) or 0, p))[:MAX_SERVERS]

    async def ask(pod: str) -> Seen | None:
        async with gate:
            return await one_controller(config, pod, addresses[pod], timeout)

    answers = await asyncio.gather(*(ask(pod) for pod in pods))
    silent = tuple(pod for pod, seen in zip(pods, answers, strict=True) if seen is None)
    return [seen for seen in answers if seen is not None], silent


async def _own_and_leader(config: KafkaConfig, addresses: Mapping[str, tuple[str, ...]], timeout: float) -> list[Seen]:
    own = config.identity.pod
    seen = await one_controller(config, own, addresses[own], timeout)
    if seen is None or seen.shut:
        return []
    if seen.quorum is not None:
        return [seen]
    leader = config.pod_of(seen.leader) if seen.leader >= 0 else ""
    told = await one_controller(config, leader, addresses[leader], timeout) if leader in addresses else None
    return [seen, told] if told is not None and not told.shut else [seen]


async def one_controller(config: KafkaConfig, pod: str, addresses: Iterable[str], timeout: float) -> Seen | None:
    """What the controller of one pod says at the first of its addresses that answers, None when none does.

    ``pod``: empty for one that is of another set.
    """
    from peerboot.outside.kafka import Bounds, KafkaError

    bounds = Bounds(open=timeout, read=timeout, call=timeout)
    for address in tuple(addresses)[:4]:
        async with connect(config, pod, address, "controller", bounds) as kafka:
            try:
                level = (await kafka.versions()).highest("metadata.version")
            except KafkaError as error:
                if error.outcome in SHUT:
                    return Seen(pod, address, "", shut=str(error))
                continue
            try:
                nodes = await kafka.describe_cluster()
            except KafkaError:
                # It has not seen a leader since it started, and then it cannot say whose it is.
                return Seen(pod, address, "", level=level)
            try:
                quorum = await kafka.describe_quorum()
            except KafkaError:
                quorum = None
            return Seen(pod, address, nodes.cluster, nodes.controller, quorum, level)
    return None


def _shut(one: Seen) -> Finding:
    say = f"The server of {one.pod} does not let peerboot in: {one.shut}."
    return Finding(name="not-let-in", say=say, pod=one.pod)


def _told(config: KafkaConfig, view: ClusterView, seen: list[Seen]) -> ClusterView:
    """Note what the own controller and the leader tell of how well all are."""
    mine = next((one for one in seen if one.pod == config.identity.pod), None)
    leads = next((one for one in seen if one.quorum is not None and one.cluster == view.cluster), None)
    level, leader = (mine.level, mine.leader) if mine is not None else (0, -1)
    return quorumhealth.with_quorum(config, view, leads.quorum if leads is not None else None, level, leader)


def _view(
    config: KafkaConfig,
    seen: list[Seen],
    silent: tuple[str, ...],
    addresses: Mapping[str, tuple[str, ...]],
    prefer: str,
    now: float,
    member: str = "",
) -> ClusterView:
    others_kind = [
        one for one in seen if config.quorum == "dynamic" and one.quorum and staticview.is_static(one.quorum)
    ]
    managed = [one for one in seen if one not in others_kind]
    leading = {one.cluster: one for one in managed if one.quorum is not None and stands(one.quorum)}
    cluster = prefer if prefer in leading else next(iter(leading), "") if len(leading) == 1 else ""
    told = leading.get(cluster)
    others = tuple(
        ServerView(pod=one.pod, address=one.address, cluster=one.cluster) for one in seen if one.cluster != cluster
    )
    if told is None or told.quorum is None:
        alone = tuple(ServerView(pod=one.pod, address=one.address, cluster=one.cluster) for one in seen)
        return ClusterView(views=alone, unreachable=silent, unmanaged=STATIC if others_kind else "", at=now)
    fixed = staticview.is_static(told.quorum)
    quorum = staticview.named(told.quorum, config.node, member)
    views = _views(config, replace(told, quorum=quorum), addresses, fixed=fixed)
    gone = {config.pod_of(voter.id) for voter in told.quorum.voters if not _alive(told.quorum, voter)}
    return ClusterView(
        quorum=True,
        cluster=cluster,
        members=members_of(config, quorum, addresses),
        fixed=fixed,
        views=(*views, *others),
        unreachable=tuple(sorted({*silent, *gone} - {view.pod for view in (*views, *others)})),
        at=now,
    )


def _views(
    config: KafkaConfig, told: Seen, addresses: Mapping[str, tuple[str, ...]], *, fixed: bool
) -> tuple[ServerView, ...]:
    """Every controller that fetches, by the leader's word."""
    quorum = told.quorum
    if quorum is None:
        return ()
    lead = quorum.voter(quorum.leader)
    leader = ids.member_id(lead.id, lead.directory) if lead else ""
    views = []
    for replica in (*quorum.voters, *observers_of(config, quorum, addresses)):
        pod = config.pod_of(replica.id)
        if not _alive(quorum, replica) or not pod:
            continue
        views.append(
            ServerView(
                pod=pod,
                address=next(iter(addresses.get(pod, ())), ""),
                cluster=told.cluster,
                member=ids.member_id(replica.id, replica.directory),
                leader=leader,
                applied=max(replica.end_offset, 0),
                healthy=in_sync(quorum, replica),
                learner=replica in quorum.observers,
                complete=fixed and staticview.is_complete(quorum, replica, config.node),
            )
        )
    return tuple(views)


def members_of(config: KafkaConfig, quorum: Quorum, addresses: Iterable[str]) -> tuple[Member, ...]:
    """Voters, and as learners those observers that fetch and are controllers of this set.

    A voter that was never seen to fetch by this leader counts as never started; a dead observer stays in the leader's
    list for minutes and is left out.
    """
    hosts = {node.id: node.endpoints[0] for node in quorum.nodes if node.endpoints}
    found = []
    for replica in (*quorum.voters, *observers_of(config, quorum, addresses)):
        pod = config.pod_of(replica.id)
        endpoint = hosts.get(replica.id)
        host = endpoint.host if endpoint else config.host_of(pod) if pod else ""
        where = f"{host}:{endpoint.port if endpoint else config.controller_port}"
        started = replica.id == quorum.leader or replica.fetched_ms > 0
        found.append(
            Member(
                id=ids.member_id(replica.id, replica.directory),
                name=pod,
                pod=pod,
                peer_urls=(where,),
                client_urls=(where,) if started else (),
                learner=replica in quorum.observers,
            )
        )
    return tuple(found)


def observers_of(config: KafkaConfig, quorum: Quorum, addresses: Iterable[str]) -> tuple[Replica, ...]:
    """Observers that are servers of this set, alive, and no voter's own earlier entry.

    The servers of other sets observe too, under ids that would be pods of this one if it were larger: those count that
    are expected, or are in ``addresses``.
    """
    voters = {(voter.id, voter.directory) for voter in quorum.voters}
    known = {*config.identity.expected, *addresses}
    return tuple(
        replica
        for replica in quorum.observers
        if config.pod_of(replica.id) in known
        and (replica.id, replica.directory) not in voters
        and _alive(quorum, replica)
    )


def _clock(quorum: Quorum) -> int:
    """The leader's clock when it answered: it gives itself the time of the answer."""
    return max((replica.fetched_ms for replica in (*quorum.voters, *quorum.observers)), default=-1)


def _alive(quorum: Quorum, replica: Replica) -> bool:
    if replica.id == quorum.leader and replica in quorum.voters:
        return True
    return replica.fetched_ms > 0 and _clock(quorum) - replica.fetched_ms <= ALIVE_MS


def in_sync(quorum: Quorum, replica: Replica) -> bool:
    """Whether it had all that the leader has within the time of a fetch."""
    if replica.id == quorum.leader and replica in quorum.voters:
        return True
    return replica.caught_up_ms > 0 and _clock(quorum) - replica.caught_up_ms <= IN_SYNC_MS


def stands(quorum: Quorum) -> bool:
    """Whether a majority of the voters follows this leader now: a deposed one knows that it is only seconds later."""
    alive = sum(1 for voter in quorum.voters if _alive(quorum, voter))
    leads = quorum.leader >= 0 and quorum.high_watermark >= 0
    return leads and alive >= len(quorum.voters) // 2 + 1


def hosts_of(config: KafkaConfig, view: ClusterView) -> tuple[str, ...]:
    """Host names of the voters, own ones left out; addresses need no DNS."""
    hosts = set()
    for member in view.members:
        if member.pod == config.identity.pod or member.learner:
            continue
        for where in member.peer_urls:
            host = where.rpartition(":")[0].strip("[]").lower()
            if host and ":" not in host and not host.replace(".", "").isdigit():
                hosts.add(host)
    return tuple(sorted(hosts))
