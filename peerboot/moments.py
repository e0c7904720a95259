"""What is kept of each decision, and the bundle that is made of it. Pure.

Both outlive the release that wrote them: fields are only added, each with a default, and readers leave out what they do
not know.
"""

from __future__ import annotations

import msgspec

from peerboot.model import Decision, Facts

BUNDLE = 1
"""The version of a bundle. It changes only when an older reader would read it wrongly."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One action of a plan, without contents."""

    type: str
    """Its kind, or the call's name."""
    say: str
    """In words, as in the log."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one action, and how often in a row."""

    wall: float
    say: str
    ok: bool
    result: str = ""
    times: int = 1


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One decision when it was new: all that it rests on, and what came of it."""

    wall: float
    boot: str = ""
    """The process."""
    version: str = ""
    """The release that decided."""
    facts: Facts
    decision: Decision
    allowed: tuple[str, ...] = ()
    """Rules that a person had consented to; the nonces are not kept."""
    actions: tuple[Planned, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    """Of this decision's plans, also of later passes."""


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """All that one Pod's peerboot knows of an incident."""

    peerboot_bundle: int
    version: str = ""
    made_wall: float = 0.0
    source: str = ""
    """``running``: the running peerboot gave it; ``disk``: none ran, and it is what the last one left."""
    pod: str = ""
    namespace: str = ""
    system: str = ""
    settings: dict[str, str] = {}
    left_out: int = 0
    """Decisions that were dropped for room."""
    moments: tuple[Moment, ...] = ()
    """Oldest first."""
    now: Moment | None = None
    """The decision in force when the bundle was made, with the facts of that moment."""
    journal: tuple[dict[str, object], ...] = ()
    """One line for each decision of longer ago."""
