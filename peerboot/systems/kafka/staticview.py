"""A static quorum by its leader's word: its voters have no directory ids. Pure.

The leader knows such a voter by its node id alone, so a replaced disk is invisible to it. Peerboot's rules know a
member by its disk: this Pod's own entry gets the directory id of its own disk, those of the others stay without one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from peerboot.systems.kafka import ids

if TYPE_CHECKING:
    from peerboot.outside.kafka.values import Quorum, Replica


def is_static(quorum: Quorum) -> bool:
    """Whether the leader's voters have no directory ids. Of 3.9 a finalized ``kraft.version`` of 1 is no proof."""
    return bool(quorum.voters) and not quorum.dynamic


def named(quorum: Quorum, node: int, member: str) -> Quorum:
    """The same with the own disk's directory id at the own voter, and without observers, of which none can become a
    voter; a dynamic quorum stays as it is.
    """
    if not is_static(quorum):
        return quorum
    directory = ids.split_member(member)[1] if member else ""
    mine = tuple(msgspec.structs.replace(v, directory=directory if v.id == node else "") for v in quorum.voters)
    return msgspec.structs.replace(quorum, voters=mine, observers=())


def is_complete(quorum: Quorum, replica: Replica, node: int) -> bool:
    """Whether a voter's log has all that may have been committed with the help of this node's disk: up to the high
    watermark, and up to where the leader has seen this node's log. What the leader still counts for a disk that is lost
    may commit entries up to there.
    """
    mine = quorum.voter(node)
    return replica.end_offset >= max(quorum.high_watermark, mine.end_offset if mine else 0)
