"""Of systems where one server takes the writes and the others copy it: who asks to be that one, and how far each is."""

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

    token: str = ""
    """Random, another for each wish. Empty before it is durable: the state directory gives it."""
    standing: Standing
    called: bool = False
    """All others had yielded, and the call may have been made. From then on it is not taken back."""
    past: tuple[str, ...] = ()
    """Pods whose word a person has said that it need not wait for."""
    past_as: tuple[str, ...] = ()
    """What each of them was then, in the same order; ``silent`` where nothing stands. One that is something else by now
    was not meant."""


class Fork(Value, frozen=True, kw_only=True):
    """Where a timeline ended and the next one of the same history began."""

    term: int
    """The one that ended."""
    position: int


class Part(Value, frozen=True, kw_only=True):
    """What one server says of its part: it takes the writes, or copies the one that does."""

    writes: bool
    term: int
    """Its timeline."""
    position: int
    """How far its log is, in bytes."""
    settled: bool = False
    """It takes no writes, and has taken in all that it has: ``position`` does not change by itself."""
    streams: bool = False
    """It copies another server at this moment."""
    paused: bool = False
    """It takes nothing in, because somebody paused its replay."""
    upstream: str = ""
    """The host from which it does."""
    lag: int = -1
    """Bytes that it has yet to take in of what that one has told it of; -1: unknown."""
    sync: str = ""
    """Of a server that copies, by the word of the one that takes writes: ``sync``, ``quorum``, ``async`` or
    ``potential``; empty: it was not asked, or does not know it."""
    copied_by: tuple[str, ...] = ()
    """Of the one that takes writes: the pods whose servers copy it at this moment."""
    forks: tuple[Fork, ...] = ()
    """The history of its timeline, oldest first, as far as it was asked for."""
    slots: tuple[str, ...] = ()
    """Names of the slots that keep log for others there."""
    idle_slots: tuple[str, ...] = ()
    """Those of them that nobody uses now."""
    lost_slots: tuple[str, ...] = ()
    """Those of them whose log is gone: who used one has to be copied anew."""
    loaded: str = ""
    """The generation of the settings that it has loaded."""
    release: int = 0
    """Its major version."""
    stuck: float = 0.0
    """Seconds for which it has copied nobody, while one took writes and answered."""

    @property
    def standing(self) -> Standing | None:
        """How far its disk is, where that is known and stays so."""
        return Standing(term=self.term, position=self.position) if self.settled and not self.writes else None
