"""What lies on this Pod's volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from peerboot.model.base import Value
from peerboot.model.primary import Fork, Intent, Standing

DiskKind = Literal["blank", "interrupted", "partial", "bootstrap", "data", "corrupt", "unknown"]
"""What the system's own reader says of the data directory.

``blank``: nothing there. ``interrupted``: an incarnation began to be written and holds nothing, not
even its first entries. ``partial``: what made it a member is gone, while other data of the same server is left (one of
several directories was lost). ``bootstrap``: only the first configuration entries, nothing a client was ever told.
``data``: in doubt, data. ``corrupt``: cannot be read. ``unknown``: could not be looked at.
"""


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
    voters: tuple[str, ...] | None = None
    """Of a system with fixed voters: their pods; empty where the list is in the cluster's own log by now. None: not
    noted."""


class Claim(Value, frozen=True, kw_only=True):
    """A member id that was added for this disk and that has not run yet, or the cluster that it is to join."""

    cluster: str
    member: str
    """Empty where the server starts before it is added, for then nobody knows its id yet."""
    nonce: str
    voters: tuple[str, ...] = ()
    """Not empty: the fixed voters of that cluster, of which this Pod is one; its server takes its old place, empty."""


class LogEnd(Value, frozen=True, kw_only=True):
    """Where the log of a disk with data ends. Of two disks of one cluster the one with the higher term has more, and of
    one term the one with the higher index (Raft, section 5.4.1).
    """

    term: int
    index: int
    written: str = ""
    """When something was last written to it, ``2026-01-02 03:04:05Z``; empty: not known."""

    @property
    def rank(self) -> tuple[int, int]:
        """Greater is more."""
        return self.term, self.index


class Forced(Value, frozen=True, kw_only=True):
    """A person's durable word that this disk becomes a cluster of one: it outlives the restart of its server."""

    cluster: str
    member: str
    end: LogEnd
    """Where its log ended then. Once it ends elsewhere the word is over: it was carried out, or something else was."""
    voters: Mapping[str, str]
    """The member id of each pod's voter, this one's among them."""
    copy: str = ""
    """What the copy of the data is called; empty until it was taken."""
    given: bool = False
    """The file that lets the server do it, once, was written, or was about to be."""


class Record(Value, frozen=True, kw_only=True):
    """What lies in the state directory."""

    nonce: str = ""
    birth: Birth | None = None
    permitted_wall: float | None = None
    """When a permit was first given since the nonce was made."""
    seal: Seal | None = None
    claim: Claim | None = None
    former: tuple[str, ...] = ()
    """Tokens of this volume's births that came to nothing, as every pod said itself: an anchor with one remembers no
    cluster."""
    crown: int = 0
    """The timeline on which this volume's server was last told to take writes; 0: never, or another was let do so
    since."""
    let_go: int = 0
    """The last timeline of which it was told that another one may go on from it: it is not this volume's any more,
    whatever its data looks like."""
    intent: Intent | None = None
    """The wish to have it take writes, while it lasts."""
    forced: Forced | None = None
    """A person wants this disk to become a cluster of one, and it is not known to be one yet."""
    foreign: str = ""
    """Not empty: the directory was written for another identity; says which."""
    problem: str = ""
    """Not empty: torn or unreadable, so the disk is unknown, not blank; says what."""
    elsewhere: str = ""
    """Of a volume on which nothing is remembered: a directory with a server's data that is not the data directory."""
    torn: bool = False
    """It is no state of any release. Else it is a newer release's, or merely cannot be read now: not ours to mend."""
    unwritten: bool = False
    """The problem is that there is no state yet and none can be written now: it passes by itself when there is room."""


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
    term: int = 0
    index: int = 0
    """Where the log of a disk with data ended when it was read; for a person who has to compare disks."""
    written: str = ""
    """When something was last written to it, as in ``LogEnd``."""
    logged: bool = True
    """What makes it a member holds entries. False: it was only formatted, or its log was lost."""
    led: bool = False
    """Where one server takes the writes: it was this disk's, and started as it is it would take them again."""
    end: Standing | None = None
    """How far it is, known without its server: that took the writes until it was shut down in order. None else."""
    making: bool = False
    """Of a blank one: what is to be its data is being written beside it, and gets its name when it is whole."""
    forks: tuple[Fork, ...] = ()
    """The history of its timeline (``term``) as the disk has it, oldest first."""
    lost: tuple[str, ...] = ()
    """Directories that hold nothing of what a server keeps there for clients: it would start without that."""
    voters: tuple[str, ...] | None = None
    """The pods of the fixed voters that the data itself names; empty where it says that the list is in the log. None:
    it says nothing."""
    version: str = ""
    """The version that its cluster went by when that was last written there, ``3.6``; empty: it is not known."""
    since: float = 0.0
    """When this kind was first seen in a row."""

    @property
    def log_end(self) -> LogEnd | None:
        """Where its log ended when it was read; None where there is none."""
        if self.kind != "data" or not self.index or not self.term:
            return None
        return LogEnd(term=self.term, index=self.index, written=self.written)
