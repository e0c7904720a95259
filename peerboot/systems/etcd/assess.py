"""Look at etcd's servers: which answer, of which cluster, with what list, and is there a quorum. Changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

import msgspec

from peerboot.model import ClusterView, Finding, Member, ServerView
from peerboot.outside.http import Http
from peerboot.systems.etcd import calls, releases
from peerboot.systems.etcd.config import EtcdConfig, is_address
from peerboot.systems.etcd.reach import Login, Reach

AT_ONCE = 16
MAX_SERVERS = 64
NOBODY: Mapping[str, str] = MappingProxyType({})
SHUT = ("shut", "auth")
"""Outcomes of a server that is there and does not let peerboot in."""


@dataclass(frozen=True)
class Seen:
    """One server: its view, and the list when it proved a quorum."""

    view: ServerView
    linearizable: tuple[Member, ...] | None = None
    shut: str = ""
    """Why it does not let peerboot in; the view says nothing then, or only what the peer port told."""


@dataclass(frozen=True)
class Doors:
    """How servers are reached. Where this Pod has TLS none is asked without: its word would be that of anybody."""

    config: EtcdConfig
    http: Http
    login: Login | None = None

    def client(self, pod: str, host: str) -> tuple[Reach, str]:
        """The client listener and its URL."""
        security = self.config.security
        trust = security.client.trust if security.client else None
        reach = Reach(self.http, trust, self.config.host_of(pod), self.login)
        return reach, f"{security.client_scheme}://{host}:{self.config.client_port}"

    def peer(self, pod: str, host: str) -> tuple[Reach, str]:
        """The peer listener and its URL."""
        security = self.config.security
        trust = security.peer.trust if security.peer else None
        reach = Reach(self.http, trust, self.config.host_of(pod))
        return reach, f"{security.peer_scheme}://{host}:{self.config.peer_port}"


async def look(
    doors: Doors,
    addresses: Mapping[str, tuple[str, ...]],
    *,
    rest: bool,
    timeout: float,
    now: float,
    prefer: str,
    told: Mapping[str, str] = NOBODY,
) -> ClusterView:
    """Ask the servers; own one first and alone when ``rest`` and it serves. Never raises.

    ``prefer``: the cluster of the own data, which decides when servers of several clusters have quorum. ``told``: by
    address, the cluster in which the Pod there serves by its own word.
    """
    own = doors.config.identity.pod
    if rest and addresses.get(own):
        seen = await one_server(doors, own, addresses[own], timeout)
        if seen is not None and seen.linearizable is not None:
            return await _with_release(doors, _view(doors, [seen], (), prefer, now, told), timeout)
    gate = asyncio.Semaphore(AT_ONCE)
    pods = sorted(addresses, key=lambda p: (p != own, doors.config.identity.ordinal_of(p) or 0, p))[:MAX_SERVERS]

    async def ask(pod: str) -> Seen | None:
        async with gate:
            return await one_server(doors, pod, addresses[pod], timeout)

    answers = await asyncio.gather(*(ask(pod) for pod in pods))
    silent = tuple(pod for pod, seen in zip(pods, answers, strict=True) if seen is None)
    view = _view(doors, [seen for seen in answers if seen is not None], silent, prefer, now, told)
    return await _with_release(doors, view, timeout)


async def _with_release(doors: Doors, view: ClusterView, timeout: float) -> ClusterView:
    """What of etcd runs, and what may come next; the first server that serves in the cluster knows its version."""
    ours = [one for one in view.views if one.healthy and one.cluster == view.cluster]
    agreed = storage = ""
    if ours:
        host = f"[{ours[0].address}]" if ":" in ours[0].address else ours[0].address
        with contextlib.suppress(calls.CallError):
            agreed, storage = await calls.versions(*doors.client(ours[0].pod, host), timeout * 0.3)
    release = releases.release_of(ours, view.members, agreed, storage)
    return msgspec.structs.replace(view, release=release) if release else view


def not_let_in(pod: str, why: str, login: Login | None) -> Finding:
    """The sentence for a server that is there."""
    say = f"The server of {pod} does not let peerboot in: {why}{calls.remedy(why, login)}."
    return Finding(name="not-let-in", say=say, pod=pod)


def _view(
    doors: Doors, seen: list[Seen], silent: tuple[str, ...], prefer: str, now: float, told: Mapping[str, str]
) -> ClusterView:
    heard = [one for one in seen if one.view.cluster]
    ours = [one for one in heard if _is_of_set(doors.config, one, prefer, told)]
    # No call goes to a server that may be another set's, whatever its cluster's id.
    views = tuple(
        _with_scheme(
            doors.config,
            one.view if one in ours or not one.linearizable else msgspec.structs.replace(one.view, healthy=False),
        )
        for one in heard
    )
    # The own server stands first, and its list counts before those of others in the same cluster.
    proven = {one.view.cluster: one.linearizable for one in reversed(ours) if one.linearizable}
    cluster = prefer if prefer in proven else next(iter(proven), "") if len(proven) == 1 else ""
    members = proven.get(cluster)
    return ClusterView(
        quorum=members is not None,
        cluster=cluster,
        members=members or (),
        views=views,
        unreachable=(*silent, *(one.view.pod for one in seen if not one.view.cluster)),
        at=now,
        findings=(
            *_plain_among_tls(doors.config, views),
            *(_not_of_set(one) for one in heard if one.linearizable and one not in ours and one.view.cluster != prefer),
            *(not_let_in(one.view.pod, one.shut, doors.login) for one in seen if one.shut),
        ),
    )


def _with_scheme(config: EtcdConfig, view: ServerView) -> ServerView:
    """The own server is not ready while the others know it by another scheme than its peer listener has: they do not
    reach it, it reaches them. If Kubernetes went on to the next Pod, in the end nobody would reach anybody.
    """
    if not _listed_by(config, view, "http" if config.security.peer else "https"):
        return view
    has = (
        "TLS now, and the others know it without" if config.security.peer else "no TLS, and the others know it with it"
    )
    return msgspec.structs.replace(view, open=False, why=f"it has {has}, so that they do not reach it")


def _listed_by(config: EtcdConfig, view: ServerView, scheme: str) -> bool:
    """Whether the own server says that its peer URLs have that scheme."""
    own = next((m for m in view.members if m.id == view.member or m.pod == view.pod), None)
    mine = view.pod == config.identity.pod and own is not None and bool(own.peer_urls)
    return mine and own is not None and all(url.startswith(f"{scheme}://") for url in own.peer_urls)


def _plain_among_tls(config: EtcdConfig, views: Sequence[ServerView]) -> tuple[Finding, ...]:
    """Why a Pod that lost its TLS has no quorum: it reaches nobody, and nobody it."""
    if config.security.peer or not any(_listed_by(config, view, "https") for view in views):
        return ()
    say = (
        f"The server of {config.identity.pod} has no TLS, and its cluster has: set PEERBOOT_ETCD_PEER_TLS_DIR again; "
        "once all members have TLS there is no way back by a rolling update."
    )
    return (Finding(name="plain-among-tls", say=say, pod=config.identity.pod),)


def _is_of_set(config: EtcdConfig, one: Seen, prefer: str, told: Mapping[str, str]) -> bool:
    """Whether the server that answered is of this set: known by the whole name of the pod that was asked, or its
    peerboot says so at the same address, or it is of the own data's cluster.

    An address may have gone to somebody else's etcd since DNS gave it: that one's list says nothing of this set. A
    short name proves nothing, for a set in another namespace may have the same; and nor does the cluster's id then,
    which follows from names and token (docs/adr/0019-*.md). Then the own server counts, at the own address.
    """
    own = next((member for member in one.linearizable or () if member.id == one.view.member), None)
    if own is not None and config.is_named(own.peer_urls, one.view.pod):
        return True
    if told.get(one.view.address) == one.view.cluster:
        return True
    is_own = one.view.pod == config.identity.pod
    return one.view.cluster == prefer and (is_own or own is None or config.names_namespace(own.peer_urls))


def _not_of_set(one: Seen) -> Finding:
    """A server that shows a quorum, and is not known to be of this set."""
    own = next((member for member in one.linearizable or () if member.id == one.view.member), None)
    known = f"as {', '.join(own.peer_urls)}" if own is not None and own.peer_urls else "by no name"
    say = (
        f"The server at the address of {one.view.pod} serves in cluster {one.view.cluster}, which knows it {known}, "
        "and not by the whole name of that Pod: it may be another set's, so nothing is taken from it until the "
        "peerboot of that Pod says the same. Where this set is being taken over, a Pod that has its data comes first."
    )
    return Finding(name="not-of-set", say=say, pod=one.view.pod)


async def one_server(doors: Doors, pod: str, addresses: tuple[str, ...], timeout: float) -> Seen | None:
    """What the server of one pod says at the first of its addresses that answers, None when none does."""
    shut: Seen | None = None
    for address in addresses[:4]:
        try:
            async with asyncio.timeout(timeout):
                return await _ask(doors, pod, address, timeout)
        except calls.CallError as error:
            if error.outcome in SHUT:
                shut = shut or Seen(ServerView(pod=pod, address=address, cluster=""), shut=str(error))
        except TimeoutError:
            continue
    return shut


async def _ask(doors: Doors, pod: str, address: str, timeout: float) -> Seen:
    config, host = doors.config, f"[{address}]" if ":" in address else address
    reach, client = doors.client(pod, host)
    by_peer, peer = doors.peer(pod, host)
    # The client port accepts connections long before it answers, so it is given less time than the rest.
    short, shut = timeout * 0.6, ""
    try:
        state = await calls.status(reach, client, short)
    except calls.CallError as error:
        shut = str(error) if error.outcome in SHUT else ""
        try:
            cluster, members = await calls.peer_members(by_peer, config, peer, timeout * 0.3)
        except calls.CallError:
            if shut:
                raise error from None
            raise
        return Seen(ServerView(pod=pod, address=address, cluster=cluster, members=members), shut=shut)
    linearizable: tuple[Member, ...] | None = None
    members = ()
    if state.leader and not state.learner:
        try:
            if state.version.startswith("3.4"):
                # 3.4 lists its own view; after a linearizable read that view is as good.
                await calls.read_index(reach, client, short)
            listed = await calls.member_list(reach, config, client, short)
            linearizable = members = listed.members
        except calls.CallError as error:
            linearizable, shut = None, str(error) if error.outcome in SHUT else ""
    if linearizable is None:
        _, members = await calls.peer_members(by_peer, config, peer, timeout * 0.3)
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
    return Seen(view, linearizable, shut)


def hosts_of(config: EtcdConfig, view: ClusterView) -> tuple[str, ...]:
    """Host names in the peer URLs of the listed members, own ones left out; addresses need no DNS. A short name, which
    etcd's own resolver completes, is asked for as the whole name that it stands for.
    """
    hosts = set()
    for member in view.members:
        if member.pod == config.identity.pod:
            continue
        for url in member.peer_urls:
            host = (urlsplit(url).hostname or "").lower()
            if host and not is_address(host):
                hosts.add(config.whole_name(host))
    return tuple(sorted(hosts))
