"""The locks that etcd itself takes, and moving its data aside under them.

bbolt: ``flock(LOCK_EX)`` on ``member/snap/db`` (bbolt bolt_unix.go). Write-ahead log: an open-file-description write
lock on every segment (client/pkg/fileutil/lock_linux.go). Who holds all of them knows that no etcd runs there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from peerboot.outside.files import rename_aside

if TYPE_CHECKING:
    from peerboot.outside.copying import Stop

MAX_SEGMENTS = 4096


class BusyError(OSError):
    """A server holds the lock."""


def _files(data_dir: Path, wal_dir: Path | None) -> list[tuple[Path, bool]]:
    """Lock files that exist, each with whether it is the database."""
    wal = wal_dir or data_dir / "member" / "wal"
    found = [(data_dir / "member" / "snap" / "db", True)]
    with contextlib.suppress(OSError):
        found += [(path, False) for path in sorted(wal.glob("*.wal"))[:MAX_SEGMENTS]]
    return found


def _lock(path: Path, database: bool) -> int | None:
    """An open descriptor that holds the lock, None when the file is not there; raises ``BusyError``."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        if database:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            # struct flock: type, whence, start, length (0 is to the end), pid (0 for this kind).
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN):
            raise BusyError(error.errno, f"a server holds the lock of {path}") from None
        raise
    return fd


@contextlib.contextmanager
def held(data_dir: Path, wal_dir: Path | None = None) -> Iterator[None]:
    """Hold every lock that a server would take, without waiting; raises ``BusyError``."""
    with contextlib.ExitStack() as stack:
        for path, database in _files(data_dir, wal_dir):
            fd = _lock(path, database)
            if fd is not None:
                stack.callback(os.close, fd)
        yield


def is_locked(data_dir: Path, wal_dir: Path | None = None) -> bool:
    """Whether a server runs there, by the database's lock only: cheap enough for every second.

    A server opens the database before its log and waits for that lock; on a log segment that is locked, if only for
    this moment, it would exit instead of waiting.
    """
    del wal_dir
    try:
        fd = _lock(data_dir / "member" / "snap" / "db", database=True)
    except BusyError:
        return True
    except OSError:
        return False
    if fd is not None:
        os.close(fd)
    return False


def copy_beside(data_dir: Path, wal_dir: Path | None, name: str, stop: Stop) -> tuple[Path, int]:
    """Copy ``member``, with a separate WAL directory as its ``wal``, to that name beside it under the locks; returns
    where to, and its bytes.
    """
    from peerboot.outside.copying import copy_directory

    target = data_dir / name
    with held(data_dir, wal_dir):
        more = {"wal": (wal_dir, "*.wal")} if wal_dir else {}
        return target, copy_directory(data_dir / "member", target, more, stop)


def move_aside(data_dir: Path, wal_dir: Path | None, stamp: str) -> str:
    """Rename ``member`` (and the content of a separate WAL directory) aside under the locks; returns where to.

    A separate log goes first: without it no permit to resume can start a server on what is left.
    """
    kept: list[Path] = []
    with held(data_dir, wal_dir):
        if wal_dir is not None and wal_dir.is_dir():
            kept += [rename_aside(segment, stamp) for segment in sorted(wal_dir.glob("*.wal"))[:MAX_SEGMENTS]]
        if (data_dir / "member").exists():
            kept.append(rename_aside(data_dir / "member", stamp))
    return str(kept[-1]) if kept else "nowhere, there was none"
