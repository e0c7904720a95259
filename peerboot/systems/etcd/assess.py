"""Look at etcd's servers: which answer, of which cluster, with what list, and is there a quorum. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from peerboot.model import ClusterView, Member, ServerView
from peerboot.outside.http import Http
from peerboot.systems.etcd import calls
from peerboot.systems.etcd.config import EtcdConfig

AT_ONCE = 16
MAX_SERVERS = 64


@dataclass(frozen=True)
class Seen:
    """One server: its view, and the list when it proved a quorum."""

    view: ServerView
    linearizable: tuple[Member, ...] | None


async def look(
    config: EtcdConfig,
    http: Http,
    addresses: Mapping[str, tuple[str, ...]],
    *,
    rest: bool,
    timeout: float,
    now: float,
    prefer: str,
) -> ClusterView:
    """Ask the servers; own one first and alone when ``rest`` and it serves. Never raises.

    ``prefer``: the cluster of the own data, which decides when servers of several clusters have quorum.
    """
    own = config.identity.pod
    if rest and addresses.get(own):
        seen = await one_server(config, http, own, addresses[own], timeout)
        if seen is not None and seen.linearizable is not None:
            return _view([seen], (), prefer, now)
    gate = asyncio.Semaphore(AT_ONCE)
    pods = sorted(addresses, key=lambda p: (p != own, config.identity.ordinal_of(p) or 0, p))[:MAX_SERVERS]

    async def ask(pod: str) -> Seen | None:
        async with gate:
            return await one_server(config, http, pod, addresses[pod], timeout)

    answers = await asyncio.gather(*(ask(pod) for pod in pods))
    silent = tuple(pod for pod, seen in zip(pods, answers, strict=True) if seen is None)
    return _view([seen for seen in answers if seen is not None], silent, prefer, now)


def _view(seen: list[Seen], silent: tuple[str, ...], prefer: str, now: float) -> ClusterView:
    views = tuple(one.view for one in seen)
    proven = {one.view.cluster: one.linearizable for one in seen if one.linearizable and _is_of_set(one, prefer)}
    cluster = prefer if prefer in proven else next(iter(proven), "") if len(proven) == 1 else ""
    members = proven.get(cluster)
    return ClusterView(
        quorum=members is not None, cluster=cluster, members=members or (), views=views, unreachable=silent, at=now
    )


def _is_of_set(one: Seen, prefer: str) -> bool:
    """Whether the server that answered is the pod's that was asked, or of the own data's cluster.

    An address may have gone to somebody else's etcd since DNS gave it: that one's list says nothing of this set.
    """
    own = next((member for member in one.linearizable or () if member.id == one.view.member), None)
    return one.view.cluster == prefer or (own is not None and own.pod == one.view.pod)


async def one_server(
    config: EtcdConfig, http: Http, pod: str, addresses: tuple[str, ...], timeout: float
) -> Seen | None:
    """What the server of one pod says at the first of its addresses that answers, None when none does."""
    for address in addresses[:4]:
        host = f"[{address}]" if ":" in address else address
        try:
            async with asyncio.timeout(timeout):
                return await _ask(config, http, pod, address, host, timeout)
        except (calls.CallError, TimeoutError):
            continue
    return None


async def _ask(config: EtcdConfig, http: Http, pod: str, address: str, host: str, timeout: float) -> Seen:
    client, peer = f"http://{host}:{config.client_port}", f"http://{host}:{config.peer_port}"
    # The client port accepts connections long before it answers, so it is given less time than the rest.
    short = timeout * 0.6
    try:
        state = await calls.status(http, client, short)
    except calls.CallError:
        cluster, members = await calls.peer_members(http, config, peer, timeout * 0.3)
        return Seen(ServerView(pod=pod, address=address, cluster=cluster, members=members), None)
    linearizable: tuple[Member, ...] | None = None
    members = ()
    if state.leader and not state.learner:
        try:
            if state.version.startswith("3.4"):
                # 3.4 lists its own view; after a linearizable read that view is as good.
                await calls.read_index(http, client, short)
            listed = await calls.member_list(http, config, client, short)
            linearizable = members = listed.members
        except calls.CallError:
            linearizable = None
    if linearizable is None:
        _, members = await calls.peer_members(http, config, peer, timeout * 0.3)
    healthy = linearizable is not None or (state.learner and bool(state.leader))
    view = ServerView(
        pod=pod,
        address=address,
        cluster=state.cluster,
        member=state.member,
        leader=state.leader,
        members=members,
        applied=state.applied,
        version=state.version,
        healthy=healthy,
        learner=state.learner,
    )
    return Seen(view, linearizable)


def hosts_of(config: EtcdConfig, view: ClusterView) -> tuple[str, ...]:
    """Host names in the peer URLs of the listed members, own ones left out; addresses need no DNS."""
    hosts = set()
    for member in view.members:
        if member.pod == config.identity.pod:
            continue
        for url in member.peer_urls:
            host = (urlsplit(url).hostname or "").lower()
            if host and not _is_address(host):
                hosts.add(host)
    return tuple(sorted(hosts))


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
