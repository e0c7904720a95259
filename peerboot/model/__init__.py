"""The frozen values that the stages pass to each other. Pure: no I/O, no clock, no randomness.

Two clocks appear. A field that ends in ``_at`` or is called ``at``, ``now`` or ``since`` is
monotonic seconds of this process, good for ages only; a field that ends in ``_wall`` is seconds since the
Unix epoch, for people and for what is written to disk.
"""

from __future__ import annotations

from peerboot.model.actions import (
    Action,
    Call,
    CommitLog,
    CopyData,
    Done,
    EndRemoval,
    MoveAside,
    Plan,
    RecordBirth,
    RecordClaim,
    RecordCrown,
    RecordForced,
    RecordIntent,
    RecordPermit,
    RecordSeal,
    Renew,
    UseConsent,
    WithdrawPermit,
    WriteAnchor,
    WriteFile,
)
from peerboot.model.base import SCHEMA, Value
from peerboot.model.census import Evidence, Hold, Statement
from peerboot.model.cluster import (
    ClusterView,
    Copies,
    Gauge,
    Kept,
    LearnerTrack,
    Member,
    Registration,
    Release,
    ServerView,
)
from peerboot.model.decision import Decision, Kind
from peerboot.model.discovery import Answer, Finding, Outcome, PeerSet, Sighting, Target
from peerboot.model.disk import Birth, Claim, Disk, DiskKind, Forced, LogEnd, Record, Seal
from peerboot.model.facts import Anchor, Facts, Limits, Removal
from peerboot.model.identity import Identity
from peerboot.model.live import Live
from peerboot.model.primary import Fork, Intent, Part, Standing
from peerboot.model.traits import Traits

__all__ = [
    "SCHEMA",
    "Value",
    "Identity",
    "Live",
    "Standing",
    "Intent",
    "Fork",
    "Part",
    "Outcome",
    "Target",
    "Answer",
    "Sighting",
    "PeerSet",
    "Finding",
    "Hold",
    "Statement",
    "Evidence",
    "DiskKind",
    "Birth",
    "Seal",
    "Claim",
    "LogEnd",
    "Forced",
    "Record",
    "Disk",
    "Member",
    "ServerView",
    "Copies",
    "Kept",
    "Gauge",
    "Registration",
    "Release",
    "ClusterView",
    "LearnerTrack",
    "Anchor",
    "Removal",
    "Limits",
    "Traits",
    "Facts",
    "Kind",
    "Decision",
    "WriteFile",
    "WithdrawPermit",
    "RecordBirth",
    "RecordPermit",
    "RecordClaim",
    "RecordCrown",
    "RecordIntent",
    "RecordForced",
    "CopyData",
    "CommitLog",
    "RecordSeal",
    "Renew",
    "MoveAside",
    "WriteAnchor",
    "Call",
    "UseConsent",
    "EndRemoval",
    "Action",
    "Plan",
    "Done",
]
