"""What a server says of itself. Positions are bytes of the log (LSNs as numbers), terms are timelines."""

from __future__ import annotations

from peerboot.model import Value


class Stream(Value, frozen=True, kw_only=True):
    """A connection on which somebody copies this server's log: a row of pg_stat_replication."""

    name: str
    """``application_name``: that of a standby's slot, where peerboot wrote its settings."""
    state: str
    """``catchup``, ``streaming``, ``backup``, ``stopping``."""
    sync: str
    """``async``, ``potential``, ``sync``, ``quorum``."""
    flushed: int = 0
    """On the other's disk; 0: not told."""
    replayed: int = 0


class Slot(Value, frozen=True, kw_only=True):
    """A replication slot."""

    name: str
    active: bool
    wal_status: str
    """``reserved``, ``extended``, ``unreserved``, ``lost``; empty where it never kept anything."""
    safe_wal_size: int
    """Bytes that may still be written before it could be lost; -1 where there is no such limit."""
    physical: bool = True


class Seen(Value, frozen=True, kw_only=True):
    """One server, asked on one connection. What it does not tell this role is at its default."""

    version: int
    """``server_version_num``: 170010."""
    started: float
    """When, in seconds since the epoch, by its own clock: another number is another server process."""
    standby: bool
    """It is in recovery, so it takes no writes."""
    system: str
    """The cluster's identifier, decimal, without sign as in its control file."""
    term: int
    """Its timeline. A primary's is that on which it writes, right from the moment of its promotion. A standby's is that
    of the last record that it has replayed."""
    position: int
    """A primary's: what is on its disk. That is all that a client was told of, unless it asked not to wait for the disk
    (``synchronous_commit = off``), and all that a standby is ever sent. A standby's: the end of what it has of ``term``
    on its disk; of one that is ``settled``, the end of its last whole record."""
    replayed: int
    """A primary's is ``position``."""
    received: int = 0
    """The end of what a standby got by streaming since it started; 0: nothing."""
    settled: bool = False
    """A standby that has replayed every whole record that is on its disk, and waits for more: ``term`` and ``position``
    are all that it has. False where that is not certain, and while its replay is paused or delayed."""
    paused: bool = False
    """Its replay was halted (``pg_wal_replay_pause``, or a setting that is lower than its primary's)."""
    receiving: str = ""
    """``status`` of its WAL receiver; empty when there is none."""
    received_term: int = 0
    upstream: str = ""
    """The host that it copies from, as it knows it."""
    lag: int = -1
    """Bytes that it has not replayed of what its primary last told to have; -1: not known."""
    streams: tuple[Stream, ...] = ()
    """Standbys that copy from it, and backups that run."""
    slots: tuple[Slot, ...] = ()
    restart_pending: tuple[str, ...] = ()
    """Settings whose new value waits for a restart."""
    loaded: float = 0.0
    """When it last read its settings, in seconds since the epoch."""
    generation: str = ""
    """``peerboot.generation``: of the settings that it has loaded, where peerboot wrote them."""
    read_only: bool = False
    """``default_transaction_read_only``: a primary that clients, and standbys that look for one, take for none."""
    sync_waits: int = 0
    """Commits that wait for a standby to confirm them."""
    ordinary: bool = False
    """It was asked on an ordinary connection, for it had none of the other kind left, or the role may not have one. A
    standby's ``term`` may then be older than what it has, so it is never ``settled``."""
