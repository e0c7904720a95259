"""Peers: the peer set folded over many answers, and how often to ask. Pure.

Unknown never shrinks the set. An addition counts at one sighting, a removal after three complete answers without the
pod and at least a minute. Dual stack is counted by name: a pod with two addresses is one pod.
"""

from __future__ import annotations

from typing import Literal

from peerboot.model import Answer, PeerSet, Sighting

MISSES = 3
MISSING_FOR = 60.0


def fold(peers: PeerSet, answer: Answer, now: float) -> PeerSet:
    """The peer set after one more answer."""
    before = peers.answer
    changed = before is None or before.outcome != answer.outcome
    since = now if changed else peers.since
    unknown_for = now - since if answer.outcome == "unknown" else 0.0
    sightings = dict(peers.sightings)
    if answer.outcome == "found":
        _see(sightings, answer, now)
        if answer.complete:
            _miss(sightings, answer, now)
    return PeerSet(sightings=sightings, answer=answer, since=since, unknown_for=unknown_for)


def _see(sightings: dict[str, Sighting], answer: Answer, now: float) -> None:
    merged: dict[str, tuple[int, set[str]]] = {}
    for target in answer.targets:
        port, addresses = merged.setdefault(target.pod, (target.port, set()))
        addresses.update(target.addresses)
    for pod, (port, addresses) in merged.items():
        old = sightings.get(pod)
        if not addresses and old is not None:
            # Its name is there but its address did not come through: the last known one is as good.
            addresses = set(old.addresses)
        sightings[pod] = Sighting(
            pod=pod, port=port, addresses=tuple(sorted(addresses)), first_at=old.first_at if old else now, last_at=now
        )


def _miss(sightings: dict[str, Sighting], answer: Answer, now: float) -> None:
    seen = {target.pod for target in answer.targets}
    for pod in [pod for pod in sightings if pod not in seen]:
        old = sightings[pod]
        misses = old.misses + 1
        if misses >= MISSES and now - old.last_at >= max(MISSING_FOR, 2 * answer.ttl):
            del sightings[pod]
        else:
            sightings[pod] = Sighting(
                pod=pod,
                port=old.port,
                addresses=old.addresses,
                first_at=old.first_at,
                last_at=old.last_at,
                misses=misses,
            )


def first_pause(n: int, jitter: float) -> float:
    """Seconds before the very first question.

    This Pod's record appears 0.1 to 0.6 s after its first process starts. Asked before that, DNS says NXDOMAIN, and where it
    caches that (plain ``cache 30``) the set stays invisible for 30 s; asked 0.3 s later, formation is 0.3 s
    slower at worst. peerboot's own start takes about as long, so a short pause is enough. Large sets spread further.
    """
    return 0.15 + jitter * min(0.2 + n / 50, 2.0)


def pace(*, n: int, phase: Literal["boot", "rest"], answer: Answer, attempt: int, jitter: float) -> float:
    """Seconds until the next question. ``jitter`` in [0, 1) spreads it by a fifth either way.

    Boot: 1 s growing by half to max(5, N/20) s, at most 20 questions a second fleet-wide once it has grown; after an
    answer that may be cached as absent not before the cache has forgotten it, five seconds at most. Rest: max(10, N/10) s,
    or the TTL where that is longer, at most 10 a second fleet-wide.
    """
    spread = 0.8 + 0.4 * jitter
    if phase == "rest":
        # A fifth longer than the bound, so that the earliest of the spread still keeps it.
        return max(10.0, n / 10, min(answer.ttl, 60.0)) * 1.25 * spread
    ceiling = max(5.0, n / 20)
    floor = n / 20 if n > 20 else 0.0
    grown = max(min(0.4 * 1.5 ** min(attempt, 20), ceiling), floor)
    if answer.outcome == "absent" and answer.ttl > 0:
        # The first miss is normal and the record is due within half a second: one early question is
        # worth its price where nothing is cached, and costs nothing where the miss is cached anyway.
        cached = min(answer.ttl + 0.2, 5.0)
        grown = max(grown, cached) if attempt > 2 else grown
    return grown * (1.0 + 0.25) * spread if n > 20 else grown * spread
