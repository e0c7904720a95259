"""What DNS said, and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from peerboot.model.base import Value

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
    pod: str = ""
    """Not empty: it keeps peerboot from hearing this pod's server, so that it may be what a wait is for."""
    at: float = 0.0
    exit_code: int = 0
    """Non-zero: ``init`` may leave with it once the finding has lasted."""
