"""What the cluster's own servers say, and what of it is followed over time."""

from __future__ import annotations

from collections.abc import Mapping

from peerboot.model.base import Value
from peerboot.model.discovery import Finding
from peerboot.model.primary import Part


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
    open: bool = True
    """False for the own server: it is in the cluster, but is not ready for clients now."""
    why: str = ""
    """Why it is not, in words; empty: it does not serve them at all."""
    part: Part | None = None
    """Of a system in which one server takes the writes."""
    complete: bool = False
    """Of fixed voters, by the leader's word: it runs, and holds all that this Pod's disk may have helped to commit."""


class Copies(Value, frozen=True, kw_only=True):
    """Data of which the own server keeps a copy that is in sync: who else has one."""

    name: str
    """One partition, or whatever the system has, in words."""
    more: int = 0
    """How many others have their copies at the same pods."""
    in_sync: tuple[str, ...] = ()
    """Other pods whose copy is in sync."""
    behind: tuple[str, ...] = ()
    """Other pods that ought to have a copy in sync, and have not now."""
    least: int = 1
    """With fewer copies in sync it takes no writes."""


class Kept(Value, frozen=True, kw_only=True):
    """What the own server has copies of, which its cluster lacks once it is gone for good."""

    what: str = ""
    """How much, in words; empty: nothing."""
    alone: tuple[str, ...] = ()
    """Of these no other copy is in sync; the first ones by name."""
    alone_more: int = 0
    """How many more such there are."""
    unsynced: tuple[str, ...] = ()
    """Of these no copy is in sync, the own one neither; the first ones by name."""
    unsynced_more: int = 0
    untold: str = ""
    """Not empty: why it is not known."""
    remedy: str = ""
    """The command that gives all of it to others before it goes."""


class Gauge(Value, frozen=True, kw_only=True):
    """A number that a system tells of its server, for the metrics."""

    name: str
    """Without the prefix ``peerboot_``; begins with the system's name."""
    text: str
    value: float


class Release(Value, frozen=True, kw_only=True):
    """Which versions of the server run, and which one may come next: for people who update it."""

    versions: Mapping[str, str]
    """By pod, of those whose server told it."""
    untold: tuple[str, ...] = ()
    """Members whose server was not asked, or did not answer."""
    agreed: str = ""
    """The version that the cluster goes by; empty: not known, or not decided yet."""
    storage: str = ""
    """The version of its data, where a server tells it."""
    next: str = ""
    """The next minor release that all may go to now; empty: none."""
    say: str
    """All of it in one sentence."""


class Registration(Value, frozen=True, kw_only=True):
    """A server that does not run and that its cluster still has registered besides its member, as Kafka a broker."""

    pod: str
    id: str
    """For the call that ends it."""
    holds: str = ""
    """What is assigned to it, in words; empty: nothing, so that it can be forgotten."""
    remedy: str = ""
    """The command that gives that to others."""


class ClusterView(Value, frozen=True, kw_only=True):
    """The cluster by its servers' own words."""

    quorum: bool = False
    """A linearizable member list was obtained; ``members`` is that list. Where one server takes the writes: exactly one
    says that it does, and ``members`` are it and those that copy it now."""
    cluster: str = ""
    members: tuple[Member, ...] = ()
    views: tuple[ServerView, ...] = ()
    """The servers that answered, own one included."""
    unreachable: tuple[str, ...] = ()
    """Pods that were asked and whose server did not answer."""
    unresolved: tuple[str, ...] = ()
    """Host names of listed peers that DNS does not know: a joining server may stall on them."""
    elsewhere: str = ""
    """Where the quorum is another set's and none is seen: who of it was asked, and what came of it."""
    only_here: tuple[str, ...] = ()
    """Looked for when the own disk lost something: what, by the cluster's word, had its last good copy on it."""
    rescue: str = ""
    """How a person makes other copies of it count, where they are not good enough to do so by themselves."""
    untold: str = ""
    """Not empty: why that could not be found out."""
    soon: str = ""
    """Not empty: what the cluster has yet to notice of it, which it does by itself within seconds."""
    asked_for: tuple[str, ...] = ()
    """The ``Disk.lost`` for which the three above were looked for; of other losses they say nothing."""
    registrations: tuple[Registration, ...] = ()
    """Of pods that DNS does not have."""
    unmanaged: str = ""
    """Not empty: the cluster that serves is none that peerboot can manage; what it has, and what to do."""
    copies: tuple[Copies, ...] = ()
    """What the own server's stop would leave with fewer copies; at rest as it was some seconds ago."""
    copies_untold: str = ""
    """Not empty: why the above is not known, so that none are no word of there being none."""
    kept: Kept | None = None
    """None: where a server goes for good, its system's others have all that it has."""
    findings: tuple[Finding, ...] = ()
    """What ought to be set otherwise, by what the servers say, and which of them do not let peerboot in; what is wrong
    with the certificate of the census too, once it is in ``Facts``.
    """
    gauges: tuple[Gauge, ...] = ()
    release: Release | None = None
    """None: the system does not tell it, or no server answered."""
    fixed: bool = False
    """Its voters are a list in every server's file: a member cannot be added or removed, and a blank disk votes."""
    at: float = 0.0

    def view_of(self, pod: str) -> ServerView | None:
        """What the server of one pod said, None when it did not answer."""
        return next((view for view in self.views if view.pod == pod), None)

    def entry_of(self, pod: str) -> Member | None:
        """The member whose peer URL names this pod."""
        return next((member for member in self.members if member.pod == pod), None)


class LearnerTrack(Value, frozen=True, kw_only=True):
    """How long a learner has been seen without progress."""

    member: str
    since: float
    moved_at: float
    applied: int = 0
