"""Assess: gather what the stages before have learned into one frozen ``Facts``. Looks, never changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from peerboot import __version__, skew
from peerboot.model import (
    Anchor,
    ClusterView,
    Disk,
    Evidence,
    Facts,
    Finding,
    Hold,
    Identity,
    LearnerTrack,
    Live,
    PeerSet,
    Record,
    Standing,
    Statement,
    Traits,
)

VIEW_MAX_AGE = 45.0
"""Seconds after which what servers said is no longer believed; at rest they are asked every ten."""
HANDS_LAST = 300.0
"""Seconds for which a person's wish that this Pod's server takes the writes is told."""
REREAD = 5.0
"""A stopped server's data is read again after so many seconds, and before anything is done to it; of a server that runs
while no quorum is seen, the log."""
TURN_LASTS = 120.0
"""Seconds for which the others hear that this Pod's server is about to stop, after ``/prestop`` was last asked."""


@dataclass
class Memory:
    """What this process knows so far. It dies with the process, and evidence with it."""

    started_at: float
    peers: PeerSet = field(default_factory=PeerSet)
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    twin: str = ""
    view: ClusterView = field(default_factory=ClusterView)
    disk: Disk = field(default_factory=lambda: Disk(kind="unknown", reason="not looked at yet"))
    read_at: float = -1e9
    """When the disk was read last."""
    record: Record = field(default_factory=Record)
    nonce_at: float = -1.0
    """When this process saw the disk's nonce change; negative while it has not."""
    anchor: Anchor = field(default_factory=Anchor)
    live: Live = field(default_factory=Live)
    stopping: bool = False
    """The kubelet has called ``/prestop``, and it is not known yet that this Pod's member stays."""
    turn: int = 0
    """This Pod's turn to stop (``Statement.turn``), told to the others for ``TURN_LASTS`` after ``turn_at``."""
    turn_at: float = 0.0
    findings: tuple[Finding, ...] = ()
    census_findings: tuple[Finding, ...] = ()
    """What is wrong with the certificate by which this Pod is heard."""
    asks: dict[str, float] = field(default_factory=dict)
    """By ask of another pod (``Statement.ask``): when this process first heard it."""
    confirm: str = ""
    """What the others are to say once more that they yield to, since all had."""
    hands_to: str = ""
    """The pod whose server's place a person wants this pod's to take, told for ``HANDS_LAST`` after ``hands_at``."""
    hands_at: float = 0.0
    hands_by_itself: bool = False
    """No person wants that: that pod is scaled away."""
    learners: dict[str, LearnerTrack] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
    dns_results: Counter[str] = field(default_factory=Counter)
    """Questions about the set by outcome."""
    asked_dns: bool = False
    asked_census: bool = False
    asked_servers: bool = False

    def looked(self, now: float, patience: float) -> bool:
        """Whether everybody was asked once, or long enough tried."""
        return (self.asked_dns and self.asked_census and self.asked_servers) or now - self.started_at >= patience

    def is_to_be_read(self, traits: Traits, *, running: bool, fresh: bool, now: float) -> bool:
        """Whether the data directory has to be read again. What a server that runs has is what it says itself, except
        where logs are compared because no quorum is seen.
        """
        if self.disk.kind != "data" or self.disk.running != running:
            return True
        due = now - self.read_at >= REREAD
        return due and traits.forces and not self.view.quorum if running else fresh or due

    def see_record(self, record: Record, now: float) -> None:
        """Take what lies in the state directory, and note when the disk became another one."""
        if record.nonce != self.record.nonce:
            self.nonce_at = now
        self.record = record

    def see_disk(self, disk: Disk, now: float) -> None:
        """Take a new reading; ``since`` tells how long its kind has lasted."""
        self.read_at = now
        if disk.running and not self.disk.running:
            # Its container alone was restarted, and the stop that was told of is over.
            self.turn = 0
        same = disk.kind == self.disk.kind and self.disk.since > 0
        self.disk = msgspec.structs.replace(disk, since=self.disk.since if same else now)

    def hear(self, evidence: Mapping[str, Evidence], now: float, findings: tuple[Finding, ...] = ()) -> bool:
        """Take what the others said, and note since when each ask is known. True for a new one: the own server has to
        be asked before it can be answered.
        """
        self.evidence, self.census_findings = evidence, findings
        words = [word for one in evidence.values() if (word := one.statement) is not None and word.intent is not None]
        # Without its confirmation too: that is what is yielded to until the server was asked again.
        asks = {ask for word in words if word.intent is not None for ask in (word.ask, word.intent.token)}
        known, self.asks = self.asks, {ask: self.asks.get(ask, now) for ask in asks}
        return bool(asks - known.keys())

    def served(self, since: float) -> dict[str, str]:
        """By address, the cluster in which the Pod of this set there serves, by its own word since then."""
        said = [(one.address, one.statement) for one in self.evidence.values() if one.fresh and one.at >= since]
        return {address: word.cluster for address, word in said if word is not None and word.serving and word.cluster}

    def see_view(self, view: ClusterView, now: float) -> None:
        """Take what the servers said, and note which learners move. Of two looks the one that began later counts."""
        if view.at < self.view.at:
            return
        self.view = view
        self.asked_servers = True
        if not view.quorum:
            return
        listed = {member.id: member for member in view.members if member.learner}
        for gone in set(self.learners) - set(listed):
            del self.learners[gone]
        for member in listed.values():
            applied = self._applied(member.pod)
            track = self.learners.get(member.id)
            if track is None:
                self.learners[member.id] = LearnerTrack(member=member.id, since=now, moved_at=now, applied=applied)
            elif applied > track.applied:
                self.learners[member.id] = LearnerTrack(
                    member=member.id, since=track.since, moved_at=now, applied=applied
                )

    def _applied(self, pod: str) -> int:
        view = self.view.view_of(pod)
        evidence = self.evidence.get(pod)
        heard = evidence.statement.applied if evidence and evidence.statement else 0
        return max(view.applied if view else 0, heard)

    def turn_now(self, now: float) -> int:
        """This Pod's turn to stop, 0 when it is not about to."""
        return self.turn if now - self.turn_at <= TURN_LASTS else 0

    def hands_now(self, now: float) -> str:
        """The pod whose server's place a person wants this pod's to take; empty when the wish is over."""
        return self.hands_to if now - self.hands_at <= HANDS_LAST else ""

    def active_holds(self, wall: float) -> tuple[Hold, ...]:
        """The holds in force, of this pod or of the whole set."""
        return tuple(h for h in self.holds if h.ended_wall is None and (h.until_wall is None or h.until_wall > wall))


def fresh_view(view: ClusterView, now: float) -> ClusterView:
    """What the servers said, or nothing when it is too old to act on."""
    return view if now - view.at <= VIEW_MAX_AGE else ClusterView(at=view.at)


def is_serving(facts_disk: Disk, view: ClusterView, pod: str) -> bool:
    """Whether this pod's own server says that it serves, as the member that its disk is."""
    own = view.view_of(pod)
    return own is not None and own.healthy and not own.learner and own.member == facts_disk.member


def is_ready(facts_disk: Disk, view: ClusterView, pod: str) -> bool:
    """Whether it serves, clients too."""
    own = view.view_of(pod)
    return own is not None and own.open and is_serving(facts_disk, view, pod)


def merge_holds(own: tuple[Hold, ...], heard: tuple[Hold, ...]) -> tuple[Hold, ...]:
    """Holds of the set spread by word of mouth; an ended one stays ended. The newest sixteen are kept."""
    merged = {hold.id: hold for hold in own}
    for hold in heard:
        if hold.scope != "set":
            continue
        known = merged.get(hold.id)
        if known is None or (known.ended_wall is None and hold.ended_wall is not None):
            merged[hold.id] = hold
    # Where there are too many those go first that have ended.
    kept = sorted(merged.values(), key=lambda h: (h.ended_wall is None, h.made_wall, h.id))[-16:]
    return tuple(sorted(kept, key=lambda h: (h.made_wall, h.id)))


def statement_of(
    identity: Identity,
    memory: Memory,
    *,
    boot: str,
    fingerprint: str,
    version: str,
    now: float,
    decision: tuple[str, str, str],
    stood: float,
    record: Record,
    yields: str = "",
    ended: Standing | None = None,
    heir: str = "",
) -> Statement:
    """What this Pod tells the others of its own disk.

    ``record``: as it is at this moment. A word may not be older than what is durable: who has asked for the writes
    yields to nobody. ``yields``, ``ended``, ``heir``: as in ``asks.Words``.
    """
    disk = memory.disk
    view = fresh_view(memory.view, now)
    own = view.view_of(identity.pod)
    part = own.part if own is not None else None
    unknown = bool(record.problem or record.foreign) and disk.kind not in ("data", "bootstrap")
    return Statement(
        namespace=identity.namespace,
        service=identity.service,
        statefulset=identity.statefulset,
        system=identity.system,
        pod=identity.pod,
        uid=identity.uid,
        boot=boot,
        replicas=identity.replicas,
        start=identity.start,
        fingerprint=fingerprint,
        disk="unknown" if unknown or (disk.kind == "blank" and not record.nonce) else disk.kind,
        nonce="" if unknown else record.nonce,
        token=record.birth.token if record.birth else "",
        permitted=record.permitted_wall is not None,
        cluster=disk.cluster or (record.seal.cluster if record.seal else ""),
        member=disk.member or (record.seal.member if record.seal else ""),
        serving=is_serving(disk, view, identity.pod),
        running=disk.running,
        turn=memory.turn_now(now),
        applied=own.applied if own else 0,
        writes=part is not None and part.writes,
        standing=part.standing if part is not None else ended,
        log_end=None if view.quorum or unknown else disk.log_end,
        crown=record.crown,
        intent=record.intent,
        confirm=memory.confirm if record.intent is not None else "",
        yields=yields,
        heir=heir,
        # One that is about to stop takes nothing over.
        hands_to="" if memory.stopping else memory.hands_now(now),
        decision=decision[0],
        rule=decision[1],
        reason=decision[2][:512],
        stood=stood,
        holds=tuple(hold for hold in memory.holds if hold.scope == "set"),
        version=version,
    )


def facts_of(
    identity: Identity, memory: Memory, extra: Mapping[str, object], *, now: float, wall: float, patience: float
) -> Facts:
    """Everything observed, in one value. ``extra`` holds what the system and the people add."""
    view = fresh_view(memory.view, now)
    if memory.census_findings:
        view = msgspec.structs.replace(view, findings=(*memory.census_findings, *view.findings))
    own = view.view_of(identity.pod)
    part = own.part if own is not None else None
    return Facts(
        now=now,
        identity=identity,
        disk=memory.disk,
        record=memory.record,
        nonce_at=memory.nonce_at,
        peers=memory.peers,
        evidence=dict(memory.evidence),
        twin=memory.twin,
        cluster=view,
        standing=part.standing if part is not None else None,
        writes=part is not None and part.writes,
        confirm=memory.confirm,
        asks=dict(memory.asks),
        hands_to=memory.hands_now(now),
        anchor=memory.anchor,
        live=memory.live,
        stopping=memory.stopping,
        turn=memory.turn_now(now),
        findings=memory.findings,
        notices=skew.notices(identity.pod, __version__, memory.evidence),
        holds=memory.active_holds(wall),
        learners=dict(memory.learners),
        looked=memory.looked(now, patience),
        started_at=memory.started_at,
        **extra,  # type: ignore[arg-type]  # names and types are those of Facts; run.py builds it
    )
