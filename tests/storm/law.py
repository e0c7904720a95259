"""What a storm may take: a disk only while a majority of the members stays whole and is in sync, by its own look."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """What was seen of the cluster just now, without peerboot's help."""

    size: int
    """How many members there ought to be."""
    listed: Mapping[str, bool]
    """Member id to whether it votes, by a linearizable list; empty when nobody gave one."""
    committed: int = 0
    """The highest index that any server said it had applied, before the others were asked."""
    on_disk: Mapping[int, str] | None = None
    """Ordinal to the member id in the log of its volume."""
    serving: Mapping[int, tuple[str, int]] | None = None
    """Ordinal to the member id that its server says it is, and the index up to which it has applied."""


def whole(look: Look) -> set[int]:
    """The ordinals that count: the server runs, is a listed voter, is what its disk says, and has caught up."""
    on_disk, serving = look.on_disk or {}, look.serving or {}
    return {
        ordinal
        for ordinal, (member, applied) in serving.items()
        if look.listed.get(member, False) and on_disk.get(ordinal) == member and applied >= look.committed
    }


def forbids(look: Look, wiped: Collection[int]) -> str:
    """Why these disks may not be lost now; empty when they may.

    The majority is of all who are listed, learners too (one may be promoted at this very moment), and of no fewer than
    there ought to be.
    """
    if not look.listed:
        return "nobody gives a linearizable list of the members"
    left = whole(look) - set(wiped)
    needed = max(look.size, len(look.listed)) // 2 + 1
    if len(left) < needed:
        return f"{len(left)} whole voters in sync would be left, {needed} are needed"
    return ""
