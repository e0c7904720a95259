"""What pods say of their own disks."""

from __future__ import annotations

from typing import Literal

from peerboot.model.base import SCHEMA, Value
from peerboot.model.disk import DiskKind, LogEnd
from peerboot.model.primary import Intent, Standing


class Hold(Value, frozen=True, kw_only=True):
    """A person's word to pause automatic changes."""

    id: str
    scope: Literal["pod", "set"]
    who: str
    why: str
    made_wall: float
    until_wall: float | None = None
    ended_wall: float | None = None


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
    turn: int = 0
    """Its turn among those whose server is about to be stopped, the lowest first; 0: it is not; -1: it has yet to take
    one."""
    applied: int = 0
    """The server's applied index (or its equal), 0 when unknown: shows that a learner moves."""
    writes: bool = False
    """Where one server takes the writes: this pod's does, by its own word."""
    standing: Standing | None = None
    """How far its disk is, where that is known and stays so; of a blank disk None, for ``disk`` says it."""
    log_end: LogEnd | None = None
    """Where its log ends, told while no quorum is seen: without one it does not grow."""
    crown: int = 0
    """The timeline on which its server was last told to take writes, if nobody was let do so since."""
    intent: Intent | None = None
    """This pod asks to have its server take the writes."""
    confirm: str = ""
    """Not empty: all have yielded to that, and are to say so once more, to this word."""
    yields: str = ""
    """The ask of another pod that this one has nothing against: its token, and behind a slash its ``confirm``."""
    heir: str = ""
    """This pod's server takes the writes and is scaled away: whose is to take over."""
    hands_to: str = ""
    """This pod's server is to take the writes of the pod whose server does now, because a person wants it or that one
    is scaled away. That pod's name."""
    decision: str = ""
    rule: str = ""
    reason: str = ""
    stood: float = 0.0
    """Seconds for which this decision's kind and rule have been in force."""
    holds: tuple[Hold, ...] = ()
    """Holds of the whole set that this pod knows of."""
    version: str = ""

    @property
    def ask(self) -> str:
        """What it asks the others to yield to now, empty when it asks for nothing."""
        if self.intent is None:
            return ""
        return f"{self.intent.token}/{self.confirm}" if self.confirm else self.intent.token


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
