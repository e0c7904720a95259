"""The frozen values that the stages pass to each other. Pure: no I/O, no clock, no randomness.

Two clocks appear. A field that ends in ``_at`` or is called ``at``, ``now`` or ``since`` is
monotonic seconds of this process, good for ages only; a field that ends in ``_wall`` is seconds since the
Unix epoch, for people and for what is written to disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

SCHEMA = 1
"""Version of the census statement and of every file in the state directory."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all values: immutable, compared by content, encodable as JSON."""


# ------------------------------------------------------------------ identity


class Identity(Value, frozen=True, kw_only=True):
    """Who this Pod is. Everything here is fixed for the life of the process."""

    namespace: str
    service: str
    """The governing headless Service."""
    statefulset: str
    pod: str
    ordinal: int
    """The numeric tail of the pod name."""
    system: str
    uid: str = ""
    """Pod UID, empty when the downward API does not give it."""
    ips: tuple[str, ...] = ()
    """Own addresses (POD_IPS), empty when not given."""
    domain: str
    """Cluster domain without a leading or trailing dot, for example ``cluster.local``."""
    domain_source: str = "setting"
    """``setting``, ``resolv.conf``, ``hosts`` or ``default``."""
    start: int = 0
    """``.spec.ordinals.start``."""
    replicas: int | None = None
    """Expected pods when forming; None when not told."""

    @property
    def zone(self) -> str:
        """The headless Service's own name, absolute, without the trailing dot."""
        return f"{self.service}.{self.namespace}.svc.{self.domain}"

    def name_of(self, pod: str) -> str:
        """The FQDN of one pod of this set, without the trailing dot."""
        return f"{pod}.{self.zone}"

    @property
    def fqdn(self) -> str:
        """This Pod's own FQDN, without the trailing dot."""
        return self.name_of(self.pod)

    @property
    def expected(self) -> tuple[str, ...]:
        """The pods that ought to exist; empty when ``replicas`` is unknown."""
        if self.replicas is None:
            return ()
        return tuple(f"{self.statefulset}-{i}" for i in range(self.start, self.start + self.replicas))

    @property
    def others(self) -> tuple[str, ...]:
        """The expected pods other than this one (the *peers*)."""
        return tuple(pod for pod in self.expected if pod != self.pod)

    def ordinal_of(self, pod: str) -> int | None:
        """The ordinal of a pod of this set, None for a name of another set."""
        head, dash, tail = pod.rpartition("-")
        if not dash or head != self.statefulset or not (tail.isascii() and tail.isdigit()):
            return None
        return int(tail) if tail == str(int(tail)) else None


# ----------------------------------------------------------------- discovery

Outcome = Literal["found", "absent", "unknown"]


class Target(Value, frozen=True, kw_only=True):
    """One SRV target of the Service."""

    pod: str
    """First label of the target name."""
    name: str
    """Full target name, lower case, without the trailing dot."""
    port: int
    addresses: tuple[str, ...] = ()
    """Sorted, both families; empty when neither glue nor a follow-up query gave any."""


class Answer(Value, frozen=True, kw_only=True):
    """What DNS said to one question about the set."""

    outcome: Outcome
    targets: tuple[Target, ...] = ()
    complete: bool = False
    """True when nothing was cut off: the answer may count as a miss for who is not in it."""
    ttl: float = 0.0
    """Seconds for which the answer may be cached: the RRs' TTL, or the SOA's for ``absent``."""
    reason: str = ""
    """Why it is ``absent`` or ``unknown``, in words: ``NXDOMAIN``, ``SERVFAIL from 10.0.0.10`` …"""
    via: Literal["udp", "tcp", ""] = ""
    at: float = 0.0


class Sighting(Value, frozen=True, kw_only=True):
    """What discovery knows of one pod, folded over many answers."""

    pod: str
    port: int
    addresses: tuple[str, ...]
    first_at: float
    last_at: float
    misses: int = 0
    """Complete answers in a row that did not list it."""


class PeerSet(Value, frozen=True, kw_only=True):
    """The peer set as folded so far. Unknown never shrinks it."""

    sightings: Mapping[str, Sighting] = {}
    """By pod name, own pod included."""
    answer: Answer | None = None
    """The last answer."""
    since: float = 0.0
    """When the last answer's outcome began."""
    unknown_for: float = 0.0
    """Seconds since the last answer that was not ``unknown``; 0 when the last one was known."""


class Finding(Value, frozen=True, kw_only=True):
    """Something wrong that has a name, and what to do about it."""

    name: str
    """A stable word such as ``dashed-ip-targets``."""
    say: str
    """What is seen and what to do, one line."""
    at: float = 0.0
    exit_code: int = 0
    """Non-zero: ``init`` may leave with it once the finding has lasted."""


# -------------------------------------------------------------------- census

DiskKind = Literal["blank", "interrupted", "bootstrap", "data", "corrupt", "unknown"]
"""What the system's own reader says of the data directory.

``blank``: nothing there. ``interrupted``: an incarnation began to be written and holds nothing, not
even its first entries. ``bootstrap``: only the first configuration entries, nothing a client was ever told.
``data``: in doubt, data. ``corrupt``: cannot be read. ``unknown``: could not be looked at.
"""


class Statement(Value, frozen=True, kw_only=True):
    """What a peerboot tells of its own disk: the body of ``/v1/node``, first hand only."""

    schema: int = SCHEMA
    namespace: str
    service: str
    statefulset: str
    system: str
    pod: str
    uid: str = ""
    boot: str
    """Random id of the speaking process; a new one at each start."""
    replicas: int | None = None
    start: int = 0
    fingerprint: str = ""
    """Hash of the settings that all pods must share to form (ports, schemes, host names)."""
    disk: DiskKind
    nonce: str = ""
    """The disk nonce; empty when the disk is unknown."""
    token: str = ""
    """The birth token, empty when this disk was not born."""
    permitted: bool = False
    """A permit was given at some time since this nonce was made: the server may have run."""
    cluster: str = ""
    """Cluster id on the disk or sealed beside it."""
    member: str = ""
    serving: bool = False
    """This pod's server is up and in the cluster, by its own word."""
    running: bool = False
    """This pod's server holds the lock of its data directory."""
    applied: int = 0
    """The server's applied index (or its equal), 0 when unknown: shows that a learner moves."""
    decision: str = ""
    rule: str = ""
    reason: str = ""
    holds: tuple[Hold, ...] = ()
    """Holds of the whole set that this pod knows of."""
    version: str = ""


class Hold(Value, frozen=True, kw_only=True):
    """A person's word to pause automatic changes."""

    id: str
    scope: Literal["pod", "set"]
    who: str
    why: str
    made_wall: float
    until_wall: float | None = None
    ended_wall: float | None = None


class Evidence(Value, frozen=True, kw_only=True):
    """One thing known of one pod, with its source and age."""

    pod: str
    at: float
    statement: Statement | None = None
    """First hand and authenticated; None when unknown."""
    reason: str = ""
    """Why it is unknown."""
    address: str = ""
    fresh: bool = True
    """False when the last attempt failed and this is an older word of the same boot."""


# --------------------------------------------------------------------- disk


class Birth(Value, frozen=True, kw_only=True):
    """The durable record of one incarnation of a cluster."""

    token: str
    members: Mapping[str, str]
    """Disk nonce by pod name."""


class Seal(Value, frozen=True, kw_only=True):
    """What cluster this volume was once seen to belong to."""

    cluster: str
    member: str
    adopted: bool = False
    """True when the data was found without a birth: a cluster older than peerboot."""


class Claim(Value, frozen=True, kw_only=True):
    """A member id that was added for this blank disk and that has not run yet."""

    cluster: str
    member: str
    nonce: str


class Record(Value, frozen=True, kw_only=True):
    """What lies in the state directory."""

    nonce: str = ""
    birth: Birth | None = None
    permitted_wall: float | None = None
    """When a permit was first given since the nonce was made."""
    seal: Seal | None = None
    claim: Claim | None = None
    foreign: str = ""
    """Not empty: the directory was written for another identity; says which."""
    problem: str = ""
    """Not empty: torn or unreadable, so the disk is unknown, not blank; says what."""


class Disk(Value, frozen=True, kw_only=True):
    """The data directory as the system's own reader sees it. Looking never changes it."""

    kind: DiskKind
    cluster: str = ""
    member: str = ""
    reason: str = ""
    """For ``corrupt`` and ``unknown``: what is wrong, in words. Else a remark or empty."""
    warning: str = ""
    """Something to tell although it does not change the verdict (database missing, WAL replays it)."""
    running: bool = False
    """A server holds the directory's lock right now."""
    since: float = 0.0
    """When this kind was first seen in a row."""


# ------------------------------------------------------------------ cluster


class Member(Value, frozen=True, kw_only=True):
    """One entry of the cluster's own member list."""

    id: str
    """Lower-case hex without leading zeros."""
    name: str = ""
    pod: str = ""
    """The pod that its peer URL names, empty when it names none of this set."""
    peer_urls: tuple[str, ...] = ()
    client_urls: tuple[str, ...] = ()
    learner: bool = False

    @property
    def started(self) -> bool:
        """It has published itself once. Says nothing of whether it is alive now."""
        return bool(self.client_urls)


class ServerView(Value, frozen=True, kw_only=True):
    """What one server says when asked without quorum."""

    pod: str
    address: str
    cluster: str = ""
    member: str = ""
    """Own member id."""
    leader: str = ""
    members: tuple[Member, ...] = ()
    applied: int = 0
    version: str = ""
    healthy: bool = False
    """It is in the cluster and serves, by its own word."""
    learner: bool = False


class ClusterView(Value, frozen=True, kw_only=True):
    """The cluster by its servers' own words."""

    quorum: bool = False
    """A linearizable member list was obtained; ``members`` is that list."""
    cluster: str = ""
    members: tuple[Member, ...] = ()
    views: tuple[ServerView, ...] = ()
    """The servers that answered, own one included."""
    unreachable: tuple[str, ...] = ()
    """Pods that were asked and whose server did not answer."""
    unresolved: tuple[str, ...] = ()
    """Host names of listed peers that DNS does not know: a joining server may stall on them."""
    at: float = 0.0

    def view_of(self, pod: str) -> ServerView | None:
        """What the server of one pod said, None when it did not answer."""
        return next((view for view in self.views if view.pod == pod), None)

    def entry_of(self, pod: str) -> Member | None:
        """The member whose peer URL names this pod."""
        return next((member for member in self.members if member.pod == pod), None)


# -------------------------------------------------------------------- facts


class LearnerTrack(Value, frozen=True, kw_only=True):
    """How long a learner has been seen without progress."""

    member: str
    since: float
    moved_at: float
    applied: int = 0


class Anchor(Value, frozen=True, kw_only=True):
    """What the anchor outside the volumes says."""

    state: Literal["none", "empty", "holds", "unknown"] = "none"
    """``none``: no anchor is configured."""
    token: str = ""
    reason: str = ""
    where: str = ""


class Removal(Value, frozen=True, kw_only=True):
    """A person's word that one pod's member is gone for good."""

    pod: str
    who: str
    at: float


class Limits(Value, frozen=True, kw_only=True):
    """How long some things may last before a rule acts on them, in seconds."""

    corrupt_recheck: float = 30.0
    """A directory must read as corrupt for this long (a slow mount looks the same)."""
    learner_stall: float = 300.0
    """A learner that makes no progress for this long is removed."""
    fresh: float = 15.0
    """Older words of peers are waited for anew before a birth or a renewal."""


class Facts(Value, frozen=True, kw_only=True):
    """Everything observed, times included: the sole input of ``decide`` and ``plan``."""

    now: float
    identity: Identity
    mode: Literal["manage", "observe"] = "manage"
    disk: Disk
    record: Record
    peers: PeerSet = PeerSet()
    evidence: Mapping[str, Evidence] = {}
    """By pod name, other pods only."""
    twin: str = ""
    """Not empty: another process answers under this Pod's own name; says where."""
    cluster: ClusterView = ClusterView()
    anchor: Anchor = Anchor()
    findings: tuple[Finding, ...] = ()
    fingerprint: str = ""
    """Own hash of the settings that all pods must share to form."""
    holds: tuple[Hold, ...] = ()
    """Those in force now."""
    consents: frozenset[str] = frozenset()
    """Nonces that a person has allowed and that have not been used."""
    removals: tuple[Removal, ...] = ()
    learners: Mapping[str, LearnerTrack] = {}
    files: Mapping[str, str] = {}
    """What peerboot's own files hold now, by name; a missing key is a missing file."""
    permit: Literal["absent", "first", "resume"] = "absent"
    """The permit file: ``first`` lets the server form or join once, ``resume`` lets it start with its data only."""
    permit_was_given: bool = False
    """This very Pod gave a permit, in this process or an earlier one, even if it has been withdrawn since: a server
    that runs may be its own. The output directory tells, for it dies with the Pod."""
    own_urls: tuple[str, ...] = ()
    """The peer URLs that this Pod's server ought to be listed with."""
    limits: Limits = Limits()
    predicted_cluster: str = ""
    """The cluster id that the own birth leads to, where the system lets it be computed."""
    looked: bool = True
    """False in the very first moments, before the servers were asked once."""
    started_at: float = 0.0


# ------------------------------------------------------- decision and actions

Kind = Literal["form", "join", "replace", "resume", "renew", "wait", "refuse", "leave", "idle"]


class Decision(Value, frozen=True, kw_only=True):
    """One verdict, with what it rests on."""

    kind: Kind
    rule: str
    """Name of the rule in the table of ``decide.py``."""
    reason: str
    """One sentence for people: what, why, and for a wait or a refusal what would change it."""
    evidence: tuple[str, ...] = ()
    """One line a piece of evidence."""
    waits_for: tuple[str, ...] = ()
    consent: str = ""
    """Not empty: the nonce with which a person may allow what ``would`` names, once."""
    would: str = ""
    may_run: bool = False
    """The server may run under this decision (the permit stands or is given)."""
    exit_code: int = 0
    """What ``init`` leaves with when this verdict is final; 0 for go on."""
    target: str = ""
    """The member id that the decision is about, where it is about one."""


class WriteFile(Value, frozen=True, kw_only=True, tag="write"):
    """Write one file of the output directory whole."""

    name: str
    content: str
    mode: int = 0o640
    permit: bool = False
    """This file lets the server start."""


class WithdrawPermit(Value, frozen=True, kw_only=True, tag="withdraw"):
    """Rename the permit file aside, so that a server that restarts does not start."""

    name: str


class RecordBirth(Value, frozen=True, kw_only=True, tag="birth"):
    """Make the birth durable. The server must not start before it is."""

    birth: Birth


class RecordPermit(Value, frozen=True, kw_only=True, tag="permit"):
    """Make it durable that the server may have run."""


class RecordSeal(Value, frozen=True, kw_only=True, tag="seal"):
    """Remember the cluster that this volume belongs to."""

    seal: Seal


class Renew(Value, frozen=True, kw_only=True, tag="renew"):
    """Give the disk a new nonce; birth, seal and claim go aside with the old one."""

    why: str


class MoveAside(Value, frozen=True, kw_only=True, tag="aside"):
    """Rename the data aside under the server's own lock; refuses while a server runs."""

    why: str


class WriteAnchor(Value, frozen=True, kw_only=True, tag="anchor"):
    """Write the birth to the anchor, compare-and-set."""

    token: str


class Call(Value, frozen=True, kw_only=True, tag="call"):
    """One admin call of the system. At most one membership change stands in a plan."""

    name: str
    member: str = ""
    pod: str = ""
    """Whom to ask, empty for any healthy server."""
    urls: tuple[str, ...] = ()
    claim: bool = False
    """On success the returned member id is recorded as this disk's claim."""


class UseConsent(Value, frozen=True, kw_only=True, tag="consent"):
    """Spend a consent."""

    nonce: str


class EndRemoval(Value, frozen=True, kw_only=True, tag="removal"):
    """A person's removal of a pod's member is carried out."""

    pod: str


Action = (
    WriteFile
    | WithdrawPermit
    | RecordBirth
    | RecordPermit
    | RecordSeal
    | Renew
    | MoveAside
    | WriteAnchor
    | Call
    | UseConsent
    | EndRemoval
)


class Plan(Value, frozen=True, kw_only=True):
    """What follows from a decision, in order; the first failure ends it and the next pass looks again."""

    actions: tuple[Action, ...] = ()


class Done(Value, frozen=True, kw_only=True):
    """What became of one action."""

    action: Action
    ok: bool
    say: str = ""
    member: str = ""
    """The member id that a call returned."""
