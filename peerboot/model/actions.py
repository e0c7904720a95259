"""What follows from a verdict, as data."""

from __future__ import annotations

from typing import Literal

from peerboot.model.base import Value
from peerboot.model.disk import Birth, Claim, Forced, Seal
from peerboot.model.primary import Intent


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


class RecordClaim(Value, frozen=True, kw_only=True, tag="claim"):
    """Make it durable that this blank disk is to join a cluster. Where a call has to add it first, ``Call.claim``."""

    claim: Claim


class RecordCrown(Value, frozen=True, kw_only=True, tag="crown"):
    """Remember on which timeline this volume's server was last told to take writes; 0: another is let do so now."""

    term: int


class RecordIntent(Value, frozen=True, kw_only=True, tag="intent"):
    """Make durable that this pod asks to have its server take writes; None: that it does not, or no more."""

    intent: Intent | None


class RecordForced(Value, frozen=True, kw_only=True, tag="forced"):
    """Make durable that a person wants this disk to become a cluster of one, and how far that is; None: it is over."""

    forced: Forced | None


class CopyData(Value, frozen=True, kw_only=True, tag="copy"):
    """Copy the data beside itself, whole and synced, while its server is stopped."""

    name: str
    """Of the copy; what is there under it already is whole."""


class CommitLog(Value, frozen=True, kw_only=True, tag="commit-log"):
    """Have every entry of the log count as committed, while its server is stopped, so that none is dropped."""


class Renew(Value, frozen=True, kw_only=True, tag="renew"):
    """Give the disk a new nonce; birth, seal and claim go aside with the old one."""

    why: str


class MoveAside(Value, frozen=True, kw_only=True, tag="aside"):
    """Rename the data aside under the server's own lock; refuses while a server runs."""

    why: str
    part: Literal["all", "member"] = "all"
    """``member``: where a system can tell them apart, only what makes it a member of its cluster."""


class WriteAnchor(Value, frozen=True, kw_only=True, tag="anchor"):
    """Write the birth to the anchor, compare-and-set."""

    token: str
    replaces: str = ""
    """The token of a birth that came to nothing, which may stand there. Any other stays."""


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
    | RecordClaim
    | RecordCrown
    | RecordIntent
    | RecordForced
    | CopyData
    | CommitLog
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
