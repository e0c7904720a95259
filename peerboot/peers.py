"""Peers: the peer set folded over many answers, and how often to ask. Pure.

Unknown never shrinks the set. An addition counts at one sighting, a removal after three complete answers without the
pod and at least a minute. Dual stack is counted by name: a pod with two addresses is one pod.
"""

from __future__ import annotations

from typing import Literal

from peerboot.model import Answer, PeerSet, Sighting

MISSES = 3
MISSING_FOR = 60.0
EARLY = 3
"""So many misses are normal at the start: the record is due within a second, and they are spelt so that none stays."""


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
        # Where the name is there but its address did not come through, the last known one is as good.
        known = old.addresses if old is not None else ()
        sightings[pod] = Sighting(
            pod=pod,
            port=port,
            addresses=tuple(sorted(addresses or known)),
            first_at=old.first_at if old else now,
            last_at=now,
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

    This Pod's record appears 0.1 to 0.9 s after its first process starts, and what is asked before that is answered
    NXDOMAIN. A miss costs the next question's pause only (see ``discovery.SPELLINGS`` for DNS that caches it), so the
    pause is short; peerboot's own start takes about as long. Large sets spread further.
    """
    return 0.15 + jitter * min(0.2 + n / 50, 2.0)


def pace(*, n: int, phase: Literal["boot", "rest"], answer: Answer, attempt: int, jitter: float) -> float:
    """Seconds until the next question. ``jitter`` in [0, 1) spreads it by a fifth either way.

    Boot: 0.6 s growing by half to max(5, N/20) s, so at most 20 questions a second fleet-wide in large sets; after an
    ``absent`` answer not before a cache has forgotten it, five seconds at most, except for the first three questions.
    Rest: max(10, N/10) s, or the TTL where that is longer, so at most N/10 and at most 10 a second fleet-wide.
    """
    spread = 0.8 + 0.4 * jitter
    if phase == "rest":
        # A quarter longer than the bound, so that the earliest of the spread still keeps it.
        return max(10.0, n / 10, min(answer.ttl, 60.0)) * 1.25 * spread
    grown = max(min(0.4 * 1.5 ** min(attempt, 20), max(5.0, n / 20)), n / 20 if n > 20 else 0.0)
    pause = grown * (1.25 if n > 20 else 1.0) * spread
    if answer.outcome == "absent" and answer.ttl > 0 and attempt > EARLY:
        # Asked sooner, the same entry of the same cache would answer, or another replica would make one of its own.
        pause = max(pause, (min(answer.ttl, 5.0) + 0.2) * (1.0 + 0.2 * jitter))
    return pause
