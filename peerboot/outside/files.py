"""The door to files: written whole or not at all, read with a bound, renamed aside but never over anything."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

MAX_MOUNTINFO = 1 << 20
MAX_LAST_WORDS = 4096
MAX_ASIDE = 100
"""Copies with one stamp beside one another."""


class FilesError(Exception):
    """One line: which path, why."""


WORDS = {
    errno.ENOSPC: "the file system is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file size limit is reached",
    errno.EROFS: "the file system is read-only",
    errno.EISDIR: "it is a directory",
    errno.ENOTDIR: "a part of its path is not a directory",
    errno.ENOENT: "its directory is not there",
    errno.EIO: "the disk reports an I/O error",
    errno.ELOOP: "it is a symbolic link",
    errno.ENAMETOOLONG: "its name is too long",
}


def why(error: OSError) -> str:
    """The reason of a failed system call in words."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"permission denied for uid {os.getuid()}"
    return WORDS.get(error.errno or 0, error.strerror or str(error))


def _no_step(_name: str) -> None:
    return


def write_whole(
    path: Path, content: bytes, mode: int = 0o640, *, step: Callable[[str], None] = _no_step, durable: bool = True
) -> None:
    """Write a temporary file beside ``path``, fsync, rename over it, fsync the directory.

    Without ``durable`` there is no fsync: it outlives the process, and nobody waits for the disk.

    Whoever reads ``path`` sees the old content or the new, never a part. The mode is exact, whatever the
    umask. ``step`` is called before each system call with its name, so that tests can die there. Raises
    ``FilesError``.
    """
    temp = path.with_name(f".{path.name}.tmp")  # one name per target: a crash leaves at most one behind
    try:
        step("open")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(temp, flags, mode)
        try:
            step("fchmod")
            os.fchmod(fd, mode)
            step("write")
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
            if durable:
                step("fsync")
                os.fsync(fd)
        finally:
            os.close(fd)
        step("rename")
        temp.replace(path)
        if durable:
            step("fsync-dir")
            sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temp.unlink()
        raise FilesError(f"{path} cannot be written: {why(error)}") from None
    step("done")


def sync_directory(path: Path) -> None:
    """Make what was made, renamed or removed in a directory durable. Raises ``OSError``."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: Path, mode: int = 0o700) -> None:
    """Make a directory and its parents, each durable in the one above. Raises ``FilesError``."""
    try:
        missing = [candidate for candidate in (path, *path.parents) if not candidate.is_dir()]
        for directory in reversed(missing):
            directory.mkdir(mode=mode, exist_ok=True)
            sync_directory(directory.parent)
    except OSError as error:
        raise FilesError(f"{path} cannot be made: {why(error)}") from None


def read_small(path: Path, limit: int) -> bytes | None:
    """The content of a regular file, None when there is none of that name.

    Raises ``FilesError`` when it has more than ``limit`` bytes, or is a pipe, a device or a directory.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not make it wait
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FilesError(f"{path} cannot be read: {why(error)}") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise FilesError(f"{path} cannot be read: it is not a regular file")
        with open(fd, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise FilesError(f"{path} cannot be read: {why(error)}") from None
    finally:
        os.close(fd)
    if len(content) > limit:
        raise FilesError(f"{path} cannot be read: it is longer than {limit} bytes")
    return content


def write_last_words(path: str, text: str) -> None:
    """The termination log, which the kubelet makes and shows of a container that ended. Never raises.

    It is not made where no kubelet did; the same words are on stderr.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return
    try:
        # The kubelet shows 4096 bytes at most; a character is not cut in two.
        cut = text.encode(errors="replace")[: MAX_LAST_WORDS - 1].decode("utf-8", "ignore")
        with contextlib.suppress(OSError):
            os.write(fd, f"{cut}\n".encode())
    finally:
        os.close(fd)


def rename_aside(path: Path, stamp: str) -> Path:
    """Rename to ``<name>.aside-<stamp>``, never over anything; returns the new path. Raises ``FilesError``."""
    for target in _aside_names(path, stamp):
        try:
            # link(2) fails where rename(2) would overwrite. A directory has no links, but rename(2) does not
            # replace one that holds something.
            if not path.is_symlink() and not path.is_dir() and _link(path, target):
                path.unlink()
            else:
                path.rename(target)
            sync_directory(path.parent)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                continue
            reason = "it is not there" if error.errno == errno.ENOENT else why(error)
            raise FilesError(f"{path} cannot be renamed: {reason}") from None
        return target
    raise FilesError(f"{path} cannot be renamed: {MAX_ASIDE} copies named {stamp} are there already")


def keep_copy(path: Path, stamp: str, limit: int) -> Path | None:
    """Give a file a second name, ``<name>.aside-<stamp>``, so that a new one may replace it; None when there is none.

    By a hard link, which works for what cannot be read too; where there are none by a copy of at most ``limit``
    bytes. Raises ``FilesError``.
    """
    for target in _aside_names(path, stamp):
        try:
            if not _link(path, target):
                content = read_small(path, limit)
                if content is None:
                    return None
                write_whole(target, content, 0o600)
            sync_directory(path.parent)
        except FileExistsError:
            continue
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FilesError(f"{path} cannot be kept as {target.name}: {why(error)}") from None
        return target
    raise FilesError(f"{path} cannot be kept: {MAX_ASIDE} copies named {stamp} are there already")


def _link(path: Path, target: Path) -> bool:
    """A hard link; False where there are none, or none of this file."""
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            return False
        raise
    return True


def _aside_names(path: Path, stamp: str) -> Iterator[Path]:
    """Names that are free now, so that a link or a rename normally succeeds at the first."""
    for attempt in range(MAX_ASIDE):
        target = path.with_name(f"{path.name}.aside-{stamp}" + (f"-{attempt}" if attempt else ""))
        if not os.path.lexists(target):
            yield target


@contextlib.contextmanager
def directory_lock(path: Path) -> Iterator[None]:
    """Hold a directory against other processes that do the same; raises ``FilesError`` at once when one does.

    Two Pods of one name may overlap on one volume after a forced deletion. File systems without flock(2) on
    directories (some of NFS) go without.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FilesError(f"{path} cannot be written: {why(error)}") from None
    try:
        with contextlib.suppress(OSError):
            _flock(fd, path)
        yield
    finally:
        os.close(fd)


def _flock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FilesError(f"{path} is being written by another process: wait for the other Pod to end") from None


# ------------------------------------------------------------------- volumes


def nearest_existing(path: Path) -> Path:
    """The path itself or its nearest parent that exists."""
    for candidate in (path, *path.parents):
        if os.path.lexists(candidate):
            return candidate
    return Path("/")


def same_device(one: Path, other: Path) -> bool:
    """Whether both are, or would be, on one file system. Raises ``FilesError``."""
    return _device(nearest_existing(one)) == _device(nearest_existing(other))


def _device(path: Path) -> int:
    try:
        return path.stat().st_dev
    except OSError as error:
        reason = "it is a link that leads nowhere" if error.errno in (errno.ENOENT, errno.ELOOP) else why(error)
        raise FilesError(f"{path} cannot be looked at: {reason}") from None


def real_path(path: Path) -> Path:
    """Where symbolic links lead, as far as they do; never raises."""
    return Path(os.path.realpath(path))


def mount_points() -> frozenset[Path]:
    """Where something is mounted for this process (proc(5), mountinfo); empty where that cannot be known.

    It knows what a change of device does not tell: two volumes from one disk of the node.
    """
    try:
        content = read_small(Path("/proc/self/mountinfo"), MAX_MOUNTINFO) or b""
    except FilesError:
        return frozenset()
    fields = (line.split(" ") for line in content.decode("utf-8", "surrogateescape").split("\n"))
    return frozenset(Path(re.sub(r"\\([0-7]{3})", _octal, words[4])) for words in fields if len(words) > 4)


def _octal(escape: re.Match[str]) -> str:
    """Blanks in a mount point stand as ``\\040``."""
    return chr(int(escape[1], 8))


def is_mount_root(path: Path) -> bool:
    """Whether something is mounted right there."""
    if not os.path.lexists(path):
        return False
    real = real_path(path)
    return os.path.ismount(real) or real in mount_points()


def volume_root(path: Path) -> Path:
    """The directory where the volume is mounted that holds ``path``, ``/`` when that is the root file system."""
    root = real_path(nearest_existing(path))
    if not root.is_dir():
        root = root.parent
    mounts = mount_points()
    device = _device(root)
    while root.parent != root and root not in mounts and _device(root.parent) == device:
        root = root.parent
    return root
