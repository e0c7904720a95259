"""Everything observed, in one value: the sole input of ``decide`` and ``plan``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from peerboot.model.base import Value
from peerboot.model.census import Evidence, Hold
from peerboot.model.cluster import ClusterView, LearnerTrack
from peerboot.model.discovery import Finding, PeerSet
from peerboot.model.disk import Disk, Record
from peerboot.model.identity import Identity
from peerboot.model.live import Live
from peerboot.model.primary import Standing
from peerboot.model.traits import Traits


class Anchor(Value, frozen=True, kw_only=True):
    """What the anchor outside the volumes says."""

    state: Literal["none", "empty", "holds", "unknown"] = "none"
    """``none``: no anchor is configured."""
    token: str = ""
    at: str = ""
    """When it was written, ``20260102T030405Z``; empty when it does not say."""
    older: str | None = None
    """For ``empty``: what shows that the set is older than it, empty when nothing does; None: it was not looked for."""
    reason: str = ""
    where: str = ""
    undo: str = ""
    """The commands with which a person sets it aside, where peerboot has no right to."""


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
    nonce_at: float = -1.0
    """When the disk took its nonce, if that was in this process's lifetime: what was heard before does not count for
    the new disk. Negative: the nonce is older than the process."""
    twin: str = ""
    """Not empty: another process answers under this Pod's own name; says where."""
    cluster: ClusterView = ClusterView()
    standing: Standing | None = None
    """How far the own disk is; None while that is not known."""
    writes: bool = False
    """Where one server takes the writes: the own one does, by its own word."""
    confirm: str = ""
    """Not empty: all others had yielded to the own intent, and are to say so once more, to this word."""
    asks: Mapping[str, float] = {}
    """By ask of another pod (``Statement.yields``): when it was first heard. Only what was looked at since counts."""
    hands_to: str = ""
    """This pod's server is to take the writes of that pod's: a person wants it, or that one is scaled away."""
    anchor: Anchor = Anchor()
    live: Live = Live()
    """What the API says of this StatefulSet; state ``none`` when nobody asks it."""
    stopping: bool = False
    """The kubelet called ``/prestop``: this Pod's server is about to be stopped, for whatever reason."""
    turn: int = 0
    """This Pod's turn to stop, as in ``Statement.turn``."""
    findings: tuple[Finding, ...] = ()
    """What is set up wrongly, by what DNS says; ``all_findings`` has those of the servers too."""
    notices: tuple[Finding, ...] = ()
    """What is worth knowing and is no cause of a wait: several versions of peerboot in one set."""
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
    traits: Traits = Traits()
    predicted_cluster: str = ""
    """The cluster id that the own birth leads to, where the system lets it be computed."""
    looked: bool = True
    """False in the very first moments, before the servers were asked once."""
    started_at: float = 0.0
    undone: str = ""
    """Why the last copy of the data was not made, in words; empty where none was tried, or it was made."""

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        """Whatever ought to be otherwise, wherever it was found: what every surface tells."""
        return (*self.findings, *self.cluster.findings, *self.notices)
