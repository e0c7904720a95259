"""A whole copy of a directory on its own volume: as cheap as the file system can, synced, named when it is whole."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from peerboot.outside.files import FilesError, sync_directory, why

Stop = threading.Event
"""Set when the copy is not wanted any more; it ends within a chunk."""

FICLONE = 0x40049409
"""linux/fs.h: both files share their blocks until one is written (btrfs, XFS)."""
CHUNK = 1 << 20
MOST_FILES = 65536
ROOM_LEFT = 64 << 20
"""So much stays free beside the copy: the server has to write, and its segments of log have this size."""


def copy_directory(source: Path, target: Path, more: Mapping[str, tuple[Path, str]], stop: Stop) -> int:
    """Copy ``source`` to ``target``, and of each directory of ``more`` the files of that pattern to that name in it;
    returns its bytes.

    What is there as ``target`` already was whole when it got its name, and stays. One that was cut off is made anew.
    Raises ``FilesError``, with what is missing where there is no room.
    """
    if target.is_dir():
        return _size(target)
    partial = target.with_name(f"{target.name}.part")
    try:
        todo = list(_files(source, partial))
        for name, (folder, pattern) in more.items():
            (partial / name).mkdir(parents=True, exist_ok=True)
            todo += [(path, partial / name / path.name) for path in sorted(folder.glob(pattern))[:MOST_FILES]]
        # A clone takes no room at all, which is known only by trying the first.
        if not _clones(todo):
            _must_fit(todo, target.parent)
        for one, other in todo:
            _copy(one, other, stop)
        for directory in sorted({other.parent for _, other in todo} | {partial}, reverse=True):
            sync_directory(directory)
        partial.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        if isinstance(error, FilesError):
            raise
        raise FilesError(f"the data cannot be copied to {target}: {why(error)}") from None
    return _size(target)


def size_text(size: int) -> str:
    """Bytes for people: ``12 MiB``, ``2.5 GiB``."""
    if size < 1 << 30:
        return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"
    return f"{size / (1 << 30):.1f} GiB"


def _files(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """Each regular file below, with its place in the copy, whose directories are made."""
    count = 0
    for place, _, names in os.walk(source, onerror=_raise):
        here = target / os.path.relpath(place, source)
        here.mkdir(parents=True, exist_ok=True)
        for name in sorted(names):
            count += 1
            if count > MOST_FILES:
                raise FilesError(f"{source} has more than {MOST_FILES} files, which no server's data has")
            if not (Path(place) / name).is_symlink():
                yield Path(place) / name, here / name


def _raise(error: OSError) -> None:
    raise error


def _clones(todo: list[tuple[Path, Path]]) -> bool:
    """Whether the largest file could be cloned, and so all of them."""
    if not todo:
        return True
    one, other = max(todo, key=lambda pair: pair[0].stat().st_size)
    with _opened(one, other) as (reads, writes):
        return _clone(reads, writes)


def _must_fit(todo: list[tuple[Path, Path]], volume: Path) -> None:
    room = os.statvfs(volume)
    free = room.f_bavail * room.f_frsize
    needed = sum(one.stat().st_blocks * 512 for one, _ in todo)
    there = sum(other.stat().st_blocks * 512 for _, other in todo if other.exists())
    if free + there < needed + ROOM_LEFT:
        raise FilesError(
            f"a copy of the data takes {size_text(needed)}, and of the {size_text(free + there)} that are free on the "
            f"volume {size_text(ROOM_LEFT)} stay so: make it larger, or move what is set aside there to another one"
        )


@contextlib.contextmanager
def _opened(one: Path, other: Path) -> Iterator[tuple[int, int]]:
    with contextlib.ExitStack() as stack:
        reads = os.open(one, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        stack.callback(os.close, reads)
        mode = os.fstat(reads).st_mode & 0o777
        writes = os.open(other, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        stack.callback(os.close, writes)
        yield reads, writes


def _clone(reads: int, writes: int) -> bool:
    try:
        fcntl.ioctl(writes, FICLONE, reads)
    except OSError:
        return False
    return True


def _copy(one: Path, other: Path, stop: Stop) -> None:
    """One file, its holes as holes; clones where the file system can."""
    with _opened(one, other) as (reads, writes):
        if not _clone(reads, writes):
            os.ftruncate(writes, 0)
            for start, end in _filled(reads):
                _range(reads, writes, start, end, stop.is_set)
            os.ftruncate(writes, os.fstat(reads).st_size)
        os.fsync(writes)


def _filled(reads: int) -> Iterator[tuple[int, int]]:
    """Where the file has something; all of it where the file system does not tell."""
    at, size = 0, os.fstat(reads).st_size
    while at < size:
        try:
            start = os.lseek(reads, at, os.SEEK_DATA)
            end = os.lseek(reads, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            start, end = at, size
        yield start, end
        at = end


def _range(reads: int, writes: int, at: int, end: int, is_stopped: Callable[[], bool]) -> None:
    while at < end:
        if is_stopped():
            raise FilesError("the copy was cut off; the next try makes it anew")
        data = os.pread(reads, min(CHUNK, end - at), at)
        if not data:
            return
        if data.strip(b"\0"):
            os.pwrite(writes, data, at)
        at += len(data)


def _size(directory: Path) -> int:
    return sum((Path(place) / name).lstat().st_size for place, _, names in os.walk(directory) for name in names)
