"""Facts of systems in which one server takes the writes, drawn as ``worlds.py`` draws all others."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from peerboot.cases.primary import derived
from peerboot.model import ClusterView, Disk, Facts, Fork, Identity, Intent, Member, Part, Record, ServerView, Standing

PODS = ("db-0", "db-1", "db-2", "db-3")
OURS, OTHER = "7", "8"
"""System identifiers."""
CONFIRM = "w"
TERMS = st.sampled_from((1, 1, 2, 2, 3))
POSITIONS = st.sampled_from((50, 100, 100, 150))
STANDINGS = st.builds(Standing, term=TERMS, position=POSITIONS)
AGES = st.sampled_from((0.0, 0.05, 1.0, 1.0, 20.0))
"""Seconds since an ask was heard; the servers were looked at 0.1 s ago."""


def token_of(pod: str) -> str:
    """Of the ask of one pod."""
    return f"t{pod[-1]}"


@st.composite
def intents(draw: st.DrawFn, pod: str) -> Intent | None:
    """The wish of one pod, or none."""
    if draw(st.booleans()):
        return None
    past = draw(st.sampled_from(((), (), ("db-2",), ("db-0", "db-2"))))
    return Intent(token=token_of(pod), standing=draw(STANDINGS), called=draw(st.booleans()), past=past)


@st.composite
def said(draw: st.DrawFn, pod: str, identity: Identity) -> dict[str, Any]:
    """What the word of another pod has of the writes."""
    mine = token_of(identity.pod)
    return {
        "standing": draw(st.one_of(st.none(), STANDINGS, STANDINGS)),
        "crown": draw(st.sampled_from((0, 0, 1, 2))),
        "intent": draw(intents(pod)),
        "confirm": draw(st.sampled_from(("", "", "v"))),
        "yields": draw(st.sampled_from(("", mine, f"{mine}/{CONFIRM}", f"{mine}/{CONFIRM}", f"{mine}/v", "t9"))),
        "writes": draw(st.sampled_from((False, False, False, True))),
        "hands_to": draw(st.sampled_from(("", "", "", identity.pod))),
        "heir": draw(st.sampled_from(("", "", identity.pod))),
        "rule": draw(st.sampled_from(("", "", "serving", "leave-writes"))),
    }


@st.composite
def parts(draw: st.DrawFn) -> Part:
    """What one server says of itself."""
    writes = draw(st.sampled_from((False, False, True)))
    term = draw(TERMS)
    forks = tuple(Fork(term=one, position=draw(POSITIONS)) for one in range(1, term) if draw(st.booleans()))
    slots = tuple(f"db_{number}" for number in range(4) if draw(st.booleans()))
    return Part(
        writes=writes,
        term=term,
        position=draw(POSITIONS),
        settled=not writes and draw(st.booleans()),
        streams=not writes and draw(st.booleans()),
        lag=draw(st.sampled_from((-1, 0, 8))),
        stuck=draw(st.sampled_from((0.0, 0.0, 90.0))),
        forks=forks if writes else (),
        slots=slots,
        idle_slots=slots[:1],
        lost_slots=slots[:1] if draw(st.booleans()) else (),
        copied_by=("db-2",) if writes and draw(st.booleans()) else (),
        release=draw(st.sampled_from((15, 17))),
    )


@st.composite
def views(draw: st.DrawFn) -> ClusterView:
    """What the servers say: a quorum is that exactly one takes writes; its members are those that copy it now."""
    told = {pod: draw(parts()) for pod in PODS if draw(st.booleans())}
    clusters = {pod: draw(st.sampled_from((OURS, OURS, OURS, OTHER))) for pod in told}
    writing = [pod for pod, part in told.items() if part.writes]
    primary = writing[0] if len(writing) == 1 else ""
    follow = {
        pod
        for pod, part in told.items()
        if primary
        and (pod == primary or (part.streams and part.term == told[primary].term))
        and clusters[pod] == clusters[primary]
    }
    seen = tuple(
        ServerView(
            pod=pod,
            address="10.0.0.1",
            cluster=clusters[pod],
            member=f"db_{pod[-1]}",
            leader=f"db_{primary[-1]}" if pod in follow else "",
            healthy=pod in follow,
            part=part,
        )
        for pod, part in told.items()
    )
    members = tuple(Member(id=f"db_{pod[-1]}", name=pod, pod=pod, client_urls=("x",)) for pod in sorted(follow))
    cluster = clusters[primary] if primary else ""
    return ClusterView(quorum=bool(primary), cluster=cluster, members=members, views=seen, at=1000.0 - 0.1)


@st.composite
def with_past(draw: st.DrawFn, record: Record, pod: str) -> Record:
    """What lies on the volume of who took the writes."""
    return msgspec.structs.replace(record, crown=draw(st.sampled_from((0, 0, 1, 2, 3))), intent=draw(intents(pod)))


@st.composite
def with_writes(draw: st.DrawFn, found: Facts) -> Facts:
    """The same facts with what a pod of such a system knows besides."""
    words = [one.statement for one in found.evidence.values()]
    disk: Disk = found.disk
    if disk.kind == "data":
        led, term = draw(st.booleans()), draw(TERMS)
        end = (
            Standing(term=term, position=draw(POSITIONS)) if led and not disk.running and draw(st.booleans()) else None
        )
        disk = msgspec.structs.replace(disk, led=led, term=term, end=end)
    promotes: Any = draw(st.sampled_from(("last-primary", "best-when-full", "manual")))
    stop = draw(st.sampled_from(("", "", "stop rewind\n", "stop rebuild\n")))
    return derived(
        msgspec.structs.replace(
            found,
            disk=disk,
            confirm=draw(st.sampled_from(("", CONFIRM, CONFIRM))),
            asks={word.ask: found.now - draw(AGES) for word in words if word is not None and word.ask},
            hands_to=draw(st.sampled_from(("", "", "", "db-0"))),
            traits=msgspec.structs.replace(found.traits, promotes=promotes),
            files={**found.files, **({"stop": stop} if stop else {})},
        )
    )
