"""The locks that Kafka itself takes, and moving its data aside under them.

A Java ``FileChannel`` lock, which is a POSIX write lock of the process, on ``.lock`` in each log directory of a broker
(LogManager.lockLogDirs), and in the metadata directory where that is none of them or where the node is a controller
only (KafkaRaftManager.lockDataDir). A server that ends in order unlocks these files and removes them
(FileLock.destroy); a killed one leaves them, unlocked. Seen in /proc/locks of 3.9.2 and 4.3.1 in all three roles.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from peerboot.outside.files import is_mount_root, rename_aside

LOCK_NAME = ".lock"
NOTHING = (LOCK_NAME, "lost+found")
"""Names that hold no data; beside them what was moved aside, see ``is_nothing``."""
FLOCK = struct.Struct("hhqqi4x")
"""struct flock: type, whence, start, length (0 is to the end), pid."""
MOST_ENTRIES = 4096
MOST_TRIES = 4


class BusyError(OSError):
    """A server holds the lock, or the directory cannot be renamed."""


def is_nothing(name: str) -> bool:
    """Whether a directory that has only such names is as good as empty."""
    return name in NOTHING or ".aside-" in name


def is_locked(directories: Iterable[Path]) -> bool:
    """Whether a server runs there, of this or another PID namespace (then with process id 0). Takes microseconds.

    It asks who is in the way of a lock without taking one, so that no server ever meets ours.
    """
    return any(_is_held(directory / LOCK_NAME) for directory in directories)


def _is_held(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind = FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))[0]
        return bool(kind != fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(fd)


@contextlib.contextmanager
def held(directories: Iterable[Path]) -> Iterator[None]:
    """Hold every lock that a server would take, without waiting; raises ``BusyError``."""
    with contextlib.ExitStack() as stack:
        for directory in directories:
            if directory.is_dir():
                stack.callback(os.close, _lock(directory / LOCK_NAME))
        yield


def _lock(path: Path) -> int:
    """A descriptor that holds the lock.

    Of the open file, not of the process: it is in a server's way just as well, and is not lost when ``is_locked``
    closes the same file meanwhile, as a lock of the process would be (fcntl(2)).
    """
    for _ in range(MOST_TRIES):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), path.lstat()):
                    return fd
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise BusyError(error.errno, f"a server holds the lock of {path}") from None
            raise
        os.close(fd)  # a server that ends removed the file in between: who locks a removed file keeps nobody out
    raise BusyError(errno.EAGAIN, f"servers come and go at {path}")


def move_aside(metadata_dir: Path, log_dirs: Sequence[Path], stamp: str, part: Literal["all", "member"]) -> str:
    """Rename the metadata directory (``member``), and all log directories too (``all``), aside; returns where to.

    A whole directory at a time, for that is one step that cannot be half done, and a broker does not start on a log
    directory that has a sub-directory of another form than ``topic-partition`` in it. Raises ``OSError`` or
    ``FilesError``.
    """
    candidates = [metadata_dir, *(log_dirs if part == "all" else ())]
    for directory in candidates:
        if is_mount_root(directory):
            raise BusyError(errno.EBUSY, f"{directory} is a mount point, which cannot be renamed: use one below it")
    with held([metadata_dir, *log_dirs]):
        # The metadata directory first. Killed after it, what is left is a log directory of a member that is no more
        # (`partial`): no resume permit starts a server there, and this is done again. The other way round a member
        # would be left, which just starts, whatever the cluster says, with new and empty log directories.
        kept = [rename_aside(directory, stamp) for directory in candidates if _has_content(directory)]
    return ", ".join(map(str, kept)) or "nowhere, there was none"


def _has_content(directory: Path) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(not is_nothing(entry.name) for _, entry in zip(range(MOST_ENTRIES), entries, strict=False))
    except FileNotFoundError:
        return False
