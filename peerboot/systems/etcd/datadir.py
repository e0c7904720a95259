"""What a data directory of etcd holds, read without tools and without changing it.

``blank`` no log and no members; ``interrupted`` a log that was created and holds nothing; ``bootstrap`` only the first
configuration changes; ``data``; ``corrupt`` what etcd would not start with, or would start with and lose writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from functools import lru_cache
from pathlib import Path

from peerboot.model import Disk, DiskKind
from peerboot.systems.etcd import lock, wal
from peerboot.systems.etcd.bolt import Bolt, BoltError
from peerboot.systems.etcd.ids import hexed

MOST_BLANK = 64 << 20
"""Bytes of a database without members: a server that failed to start leaves 16 KB (3.4), 20 KB (3.5), 16 MB (3.6)."""
PEER_URLS = b'"peerURLs"'
"""What every member's entry has, however the database was written."""


def read(data_dir: Path, wal_dir: Path | None = None) -> Disk:
    """The disk as etcd would find it; never raises, never changes anything."""
    try:
        log_dir = wal_dir or data_dir / "member" / "wal"
        running = lock.is_locked(data_dir, wal_dir)
        disk = _read(data_dir, log_dir, running)
        if not running and lock.is_locked(data_dir, wal_dir):
            # A server started while this was read, so log and database may be of different moments.
            return _read(data_dir, log_dir, running=True)
        return disk
    except OSError as error:
        return Disk(kind="unknown", reason=f"{error.filename or data_dir}: {error.strerror or error}")


def _read(data_dir: Path, wal_dir: Path, running: bool) -> Disk:
    snap = data_dir / "member" / "snap"
    database = snap / "db"
    _must_be_readable(data_dir)
    try:
        log = wal.read(wal_dir, running=running)
    except wal.WalError as error:
        return Disk(kind="corrupt", reason=f"the log is damaged: {error}", running=running)
    if log is None:
        return _without_log(database, snap, running)
    member, cluster = hexed(log.member), hexed(log.cluster)
    problem, warning, version = "", "", ""
    if not running:
        # While a server writes it, the database may look torn to a reader without the lock.
        problem, warning, version = _database(database, snap, log)
    # Without a state nothing was committed and no vote was given, whatever entries were begun.
    begun = not log.has_state and log.only_bootstrap and log.last_index <= log.entries
    if begun and (log.more or _snapshots(snap)):
        problem = "the log ends before its first entry, but there was more"
    if problem:
        return Disk(kind="corrupt", member=member, cluster=cluster, reason=problem, running=running)
    if begun:
        return Disk(kind="interrupted", member=member, cluster=cluster, running=running)
    bootstrap = log.only_bootstrap and not log.more and log.last_index <= log.entries and log.commit <= log.entries
    kind: DiskKind = "bootstrap" if bootstrap and not _snapshots(snap) else "data"
    return Disk(
        kind=kind, member=member, cluster=cluster, warning=warning, running=running,
        term=log.last_term, index=log.last_index, version=version, written=_written(wal_dir),
    )  # fmt: skip


def _written(wal_dir: Path) -> str:
    """When its newest segment was; etcd writes to it in place."""
    newest = max(segment.stat().st_mtime for _, _, segment in wal.segments(wal_dir)[-1:])
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(newest))


def _must_be_readable(data_dir: Path) -> None:
    """A missing directory is blank; one that may not be read, or that is something else, is unknown."""
    for directory in (data_dir, data_dir / "member", data_dir / "member" / "snap", data_dir / "member" / "wal"):
        try:
            with os.scandir(directory) as entries:
                next(entries, None)
        except FileNotFoundError:
            continue


def _snapshots(snap: Path) -> bool:
    return next(snap.glob("*.snap"), None) is not None


def _without_log(database: Path, snap: Path, running: bool) -> Disk:
    if _snapshots(snap):
        return Disk(kind="corrupt", reason="the log is missing although there are snapshots", running=running)
    try:
        size = database.stat().st_size
    except FileNotFoundError:
        size = 0
    if size == 0:
        return Disk(kind="blank", running=running)
    try:
        if members_of(database):
            reason = "the log is missing although the database has members"
            return Disk(kind="corrupt", reason=reason, running=running)
        # Pages of a database have no checksums: what its tree does not lead to any more may still have been said.
        _must_name_nobody(database, size)
    except BoltError as error:
        if running:
            # A server on its first start makes the database before the log.
            return Disk(kind="unknown", reason=f"a server is writing it: {error}", running=True)
        return Disk(kind="corrupt", reason=f"the log is missing, and {error}")
    return Disk(kind="blank", running=running)


def _must_name_nobody(database: Path, size: int) -> None:
    """Raises ``BoltError`` for a database that may have had members, though it names none now."""
    if size > MOST_BLANK:
        raise BoltError(
            f"the database names no members and is larger than {MOST_BLANK} bytes, as none is that never had any"
        )
    stat = database.stat()
    if _names_urls(database, stat.st_ino, stat.st_mtime_ns, size):
        raise BoltError("the database's tree is damaged: it names no members, whose URLs stand in it")


@lru_cache(maxsize=1)
def _names_urls(database: Path, _inode: int, _changed: int, _size: int) -> bool:
    """Whether a member's URLs stand anywhere in it; a file that has not changed needs no second reading."""
    kept = b""
    with database.open("rb") as file:
        while piece := file.read(wal.CHUNK):
            if PEER_URLS in kept + piece:
                return True
            kept = piece[-len(PEER_URLS) :]
    return False


def _database(database: Path, snap: Path, log: wal.Log) -> tuple[str, str, str]:
    """What is wrong with the database beside this log, what is worth a remark, and the cluster's version in it."""
    if not database.exists():
        if _snapshots(snap):
            return "snap/db is missing although there are snapshots", "", ""
        return "", "snap/db is missing; etcd rebuilds it from its log", ""
    try:
        bolt = Bolt(database)
    except BoltError as error:
        return str(error), "", ""
    try:
        meta, version = bolt.items(b"meta"), version_of(bolt)
    except BoltError as error:
        return str(error), "", ""
    finally:
        bolt.close()
    index = int.from_bytes(meta.get(b"consistent_index", b"")[:8], "big")
    if index > log.last_index:
        ahead = f"the database is ahead of the log ({index} > {log.last_index})"
        lost = "the log lost its end, or a full disk kept it from being written"
        return f"{ahead}: {lost}, and etcd would hang on every write", "", version
    return "", "the last record of the log was cut off; etcd drops it" if log.torn else "", version


def version_of(bolt: Bolt) -> str:
    """The version that the cluster went by when it was last written here, ``3.6``; empty when there is none. Raises
    ``BoltError``.
    """
    found = re.match(rb"\d+\.\d+", bolt.items(b"cluster").get(b"clusterVersion", b""))
    return found[0].decode() if found else ""


def learners_of(database: Path) -> dict[str, bool]:
    """Whether each member is a learner, by id, as the database has it; those that were removed are not among them.
    Before 3.6 etcd itself does not go by it. Raises ``BoltError``.
    """
    bolt = Bolt(database)
    try:
        rows, gone = bolt.items(b"members"), set(bolt.items(b"members_removed"))
    finally:
        bolt.close()
    found = {}
    for key, value in rows.items():
        with contextlib.suppress(ValueError, AttributeError):
            if key not in gone:
                found[hexed(int(key, 16))] = bool(json.loads(value).get("isLearner", False))
    return found


def members_of(database: Path) -> dict[str, tuple[str, ...]]:
    """Peer URLs by member id as the database lists them: a hint only, old releases kept wrong ones there."""
    bolt = Bolt(database)
    try:
        return {key.decode("ascii", "replace"): _urls(value) for key, value in bolt.items(b"members").items()}
    finally:
        bolt.close()


def _urls(value: bytes) -> tuple[str, ...]:
    """Of one member; none where they are null, as Go writes none, or where they cannot be read."""
    try:
        urls = json.loads(value).get("peerURLs")
    except (ValueError, AttributeError, RecursionError):
        return ()
    return tuple(str(url) for url in urls) if isinstance(urls, list) else ()
