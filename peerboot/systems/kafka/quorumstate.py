"""Kafka's own ``quorum-state``, read: whether it names the voters. Never written, for it holds the vote.

JSON, of version 0 with ``currentVoters`` in a static quorum and of version 1 without in a dynamic one
(QuorumStateData.json). After a migration the file may stay of version 0 until the next election.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from peerboot.outside import files
from peerboot.systems.kafka.logdirs import QUORUM_LOG

MOST_BYTES = 64 << 10


class _Voter(msgspec.Struct):
    voterId: int  # noqa: N815 - Kafka's name


class _State(msgspec.Struct):
    data_version: int = 0
    currentVoters: tuple[_Voter, ...] = ()  # noqa: N815 - Kafka's name


def voters(metadata_dir: Path) -> tuple[int, ...] | None:
    """Node ids of the fixed voters; empty where the list is in the log; None where the file does not say."""
    try:
        content = files.read_small(metadata_dir / QUORUM_LOG / "quorum-state", MOST_BYTES)
        found = msgspec.json.decode(content, type=_State) if content else None
    except (OSError, files.FilesError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if found is None:
        return None
    if found.data_version >= 1:
        return ()
    return tuple(sorted(voter.voterId for voter in found.currentVoters)) or None
