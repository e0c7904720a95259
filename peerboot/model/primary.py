"""Of systems where one server takes the writes and the others copy it: who asks to be that one."""

from __future__ import annotations

from peerboot.model.base import Value


class Standing(Value, frozen=True, kw_only=True):
    """How far a disk is, where that is known and cannot change by itself: no server writes to it, and one that runs has
    taken in all that it has. A blank disk is at nothing.
    """

    term: int = 0
    """The timeline."""
    position: int = 0
    """In bytes of the log."""


class Intent(Value, frozen=True, kw_only=True):
    """A pod's durable wish to have its server take writes (ADR 15). What it says of the disk does not change."""

    token: str
    """Random, another for each wish."""
    standing: Standing
    called: bool = False
    """All others had yielded, and the call may have been made. From then on it is not taken back."""
