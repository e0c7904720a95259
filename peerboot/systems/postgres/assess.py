"""Look at the servers: who takes the writes, who copies whom, and how far each is. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from peerboot.model import ClusterView, Finding, Fork, Gauge, Member, Part, Registration, ServerView
from peerboot.systems.postgres import datadir, texts
from peerboot.systems.postgres.config import PostgresConfig

if TYPE_CHECKING:
    from peerboot.outside.postgres import How, Seen

AT_ONCE = 16
MAX_SERVERS = 64
MOST_ADDRESSES = 4
SHUT = {
    "password": "give all Pods the same PEERBOOT_POSTGRES_PASSWORD_FILE, and the role peerboot that password",
    "hba": "restart that Pod, which puts peerboot's lines first in its pg_hba.conf",
    "tls": "give all Pods certificates of one CA that name their Pods, or TLS to none",
    "missing": "make the role peerboot there, as a new set has it (see the page of the system)",
}
"""It is a Postgres and does not let peerboot in: what to do about it."""


class Answer(NamedTuple):
    """What came of asking the server of one pod."""

    pod: str
    address: str
    seen: Seen | None
    shut: str = ""
    """Why it did not let peerboot in."""
    forks: tuple[Fork, ...] = ()


async def look(
    config: PostgresConfig,
    addresses: Mapping[str, tuple[str, ...]],
    *,
    rest: bool,
    timeout: float,
    now: float,
    primary: str = "",
) -> ClusterView:
    """Ask the servers; at rest the own one and ``primary``, the pod whose server took the writes last. Never raises."""
    own = config.identity.pod
    if rest and primary in addresses:
        few = {pod: addresses[pod] for pod in {own, primary} if pod in addresses}
        view = view_of(config, await _everyone(config, few, timeout), now)
        mine = view.view_of(own)
        if view.quorum and mine is not None and mine.healthy:
            return view
    return view_of(config, await _everyone(config, addresses, timeout, history=not rest), now)


async def _everyone(
    config: PostgresConfig, addresses: Mapping[str, tuple[str, ...]], timeout: float, *, history: bool = False
) -> Sequence[Answer]:
    """``history``: where the timeline of the one that takes writes began, too."""
    gate = asyncio.Semaphore(AT_ONCE)
    own = config.identity.pod
    pods = sorted(addresses, key=lambda p: (p != own, config.identity.ordinal_of(p) or 0, p))[:MAX_SERVERS]

    async def ask(pod: str) -> Answer:
        async with gate:
            return await one_server(config, pod, addresses[pod], timeout)

    answers = await asyncio.gather(*(ask(pod) for pod in pods))
    if behind := _behind_its_copies(answers):
        # A copy cannot have more than what it copies, but it may have been asked later: the other one is asked again.
        again = await ask(behind)
        answers = [again if answer.pod == behind else answer for answer in answers]
    terms = {answer.seen.term for answer in answers if answer.seen is not None}
    asked = history or len(terms) > 1
    return [await _with_history(config, answer, timeout) if asked else answer for answer in answers]


def _behind_its_copies(answers: Sequence[Answer]) -> str:
    """The pod whose server takes writes and has less than one that is on the same timeline; empty for none."""
    seen = [(answer.pod, answer.seen) for answer in answers if answer.seen is not None]
    writing = [(pod, one) for pod, one in seen if not one.standby]
    if len(writing) != 1:
        return ""
    pod, primary = writing[0]
    return pod if any(_is_beyond(one, primary) for _, one in seen) else ""


def _is_beyond(one: Seen, primary: Seen) -> bool:
    return one.standby and one.term == primary.term and one.position > primary.position


async def _with_history(config: PostgresConfig, answer: Answer, timeout: float) -> Answer:
    """Where its timeline began, of a server that takes writes while others are on another timeline."""
    from peerboot.outside import postgres

    seen = answer.seen
    if seen is None or seen.standby or seen.term < 2:
        return answer
    try:
        told = await postgres.history(answer.address, config.port, seen.term, **login(config, answer.pod, timeout))
    except postgres.PostgresError:
        return answer
    forks = datadir.parse_history(told)
    return answer._replace(forks=tuple(Fork(term=fork.timeline, position=fork.position) for fork in forks))


async def one_server(config: PostgresConfig, pod: str, addresses: Sequence[str], timeout: float) -> Answer:
    """What the server of one pod says at the first of its addresses that answers."""
    from peerboot.outside import postgres

    shut = ""
    for address in addresses[:MOST_ADDRESSES]:
        try:
            return Answer(pod, address, await postgres.look(address, config.port, **login(config, pod, timeout)))
        except postgres.PostgresError as error:
            if error.kind in SHUT:
                shut = f"{error}: {SHUT[error.kind]}"
    return Answer(pod, "", None, shut)


def login(config: PostgresConfig, pod: str, timeout: float) -> How:
    """How peerboot reaches the server of one pod, for every call of the door."""
    return {"password": config.password, "tls": config.trust, "timeout": timeout, "name": config.host_of(pod)}


# --------------------------------------------------------------------- the view


def view_of(config: PostgresConfig, answers: Sequence[Answer], now: float) -> ClusterView:
    """All that was answered, as the rules take it. Pure."""
    own = config.identity.pod
    writing = [answer for answer in answers if answer.seen is not None and not answer.seen.standby]
    primary = writing[0] if len(writing) == 1 else None
    pods = {texts.slot(pod): pod for pod in (*config.identity.expected, *(answer.pod for answer in answers))}
    views = tuple(_server(answer, answer.seen, primary, pods) for answer in answers if answer.seen is not None)
    clusters = {view.pod: view.cluster for view in views}
    cluster = primary.seen.system if primary is not None and primary.seen is not None else clusters.get(own, "")
    return ClusterView(
        quorum=primary is not None,
        cluster=cluster,
        members=tuple(_member(config, view) for view in views if view.healthy) if primary is not None else (),
        views=views,
        unreachable=tuple(answer.pod for answer in answers if answer.seen is None),
        registrations=_registered(config, primary),
        findings=tuple(_shut(answer) for answer in answers if answer.shut),
        at=now,
    )


def _server(answer: Answer, seen: Seen, primary: Answer | None, pods: Mapping[str, str]) -> ServerView:
    """``pods``: by the name under which their servers copy."""
    slot = texts.slot(answer.pod)
    told = primary.seen if primary is not None else None
    streams = seen.standby and seen.receiving == "streaming"
    stream = next((one for one in told.streams if one.name == slot), None) if told is not None else None
    if told is not None and _is_beyond(seen, told):
        # It asked for log from the beginning of a file on, and got it: that it copies is an appearance.
        streams = False
    follows = streams and told is not None and seen.received_term == told.term and seen.system == told.system
    part = Part(
        writes=not seen.standby,
        term=seen.term,
        position=seen.position,
        settled=seen.settled,
        paused=seen.paused,
        streams=streams,
        upstream=seen.upstream,
        lag=seen.lag if seen.standby else 0,
        sync=stream.sync if stream is not None else "",
        copied_by=tuple(pods[one.name] for one in seen.streams if one.name in pods and one.state == "streaming"),
        forks=answer.forks,
        slots=tuple(one.name for one in seen.slots if one.physical),
        idle_slots=tuple(one.name for one in seen.slots if one.physical and not one.active),
        lost_slots=tuple(one.name for one in seen.slots if one.wal_status == "lost"),
        loaded=seen.generation,
        release=seen.version // 10000,
    )
    return ServerView(
        pod=answer.pod,
        address=answer.address,
        cluster=seen.system,
        member=slot,
        leader=texts.slot(primary.pod) if primary is not None and (follows or answer is primary) else "",
        applied=seen.position,
        version=str(seen.version // 10000),
        healthy=answer is primary or follows,
        part=part,
    )


def _member(config: PostgresConfig, view: ServerView) -> Member:
    host = config.host_of(view.pod)
    return Member(
        id=view.member, name=view.pod, pod=view.pod, peer_urls=(host,), client_urls=(f"{host}:{config.port}",)
    )


def _registered(config: PostgresConfig, primary: Answer | None) -> tuple[Registration, ...]:
    """Slots that nobody uses and that are named as another pod of this set: it is away, or was scaled away."""
    if primary is None or primary.seen is None:
        return ()
    who = config.identity
    prefix, own = f"{texts.slot(who.statefulset)}_", texts.slot(primary.pod)
    found = []
    for one in primary.seen.slots:
        tail = one.name.removeprefix(prefix)
        if one.active or one.name == own or not one.name.startswith(prefix) or not tail.isdigit():
            continue
        found.append(Registration(pod=f"{who.statefulset}-{int(tail)}", id=one.name))
    return tuple(found)


def _shut(answer: Answer) -> Finding:
    say = f"The server of {answer.pod} does not let peerboot in: {answer.shut}."
    return Finding(name="not-let-in", say=say, pod=answer.pod)


def with_gauges(view: ClusterView, pod: str) -> ClusterView:
    """The view, with what the metrics tell of this pod's own server; nothing while that does not answer."""
    own = view.view_of(pod)
    if own is None or own.part is None:
        return view
    part = own.part
    gauges = [
        Gauge(name="postgres_writes", text="1 while the own server takes the writes.", value=part.writes),
        Gauge(name="postgres_timeline", text="The own server's timeline.", value=part.term),
    ]
    if part.writes:
        text = "Servers of this set that copy the own one now."
        gauges.append(Gauge(name="postgres_copies", text=text, value=len(part.copied_by)))
    else:
        text = "1 while the own server copies the one that takes the writes."
        gauges.append(Gauge(name="postgres_streams", text=text, value=part.streams))
    if part.streams and part.lag >= 0:
        text = "Bytes of log that the own server has yet to take in of what it was told of."
        gauges.append(Gauge(name="postgres_lag_bytes", text=text, value=part.lag))
    return msgspec.structs.replace(view, gauges=(*view.gauges, *gauges))


def with_stuck(view: ClusterView, pod: str, seconds: float) -> ClusterView:
    """The view, with how long this pod's own server has copied nobody."""
    views = tuple(
        msgspec.structs.replace(one, part=msgspec.structs.replace(one.part, stuck=seconds))
        if one.pod == pod and one.part is not None
        else one
        for one in view.views
    )
    return msgspec.structs.replace(view, views=views)
