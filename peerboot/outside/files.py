"""The door to files: written whole or not at all, read with a bound."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


class FilesError(Exception):
    """One line: which path, why."""


def _no_step(_name: str) -> None:
    return


def write_whole(path: Path, content: bytes, mode: int = 0o640, *, step: Callable[[str], None] = _no_step) -> None:
    """Write a temporary file beside ``path``, fsync, rename over it, fsync the directory.

    Whoever reads ``path`` sees the old content or the new, never a part. ``step`` is called before each system
    call with its name, so that tests can die there. Raises ``FilesError``.
    """
    temp = path.with_name(f".{path.name}.tmp")  # one name per target: a crash leaves at most one behind
    try:
        step("open")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temp, flags, mode)
        try:
            os.fchmod(fd, mode)
            step("write")
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
            step("fsync")
            os.fsync(fd)
        finally:
            os.close(fd)
        step("rename")
        temp.replace(path)
        step("fsync-dir")
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temp.unlink()
        raise FilesError(f"{path} cannot be written: {error.strerror or error}") from None


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_small(path: Path, limit: int) -> bytes | None:
    """The content, None when there is no such file; raises ``FilesError`` when longer than ``limit`` bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FilesError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(content) > limit:
        raise FilesError(f"{path} is longer than {limit} bytes")
    return content


def rename_aside(path: Path, stamp: str) -> Path:
    """Rename to ``<name>.aside-<stamp>``, never over anything; returns the new path. Raises ``FilesError``."""
    for attempt in range(100):
        target = path.with_name(f"{path.name}.aside-{stamp}" + (f"-{attempt}" if attempt else ""))
        if target.exists() or target.is_symlink():
            continue
        try:
            path.rename(target)
            sync_directory(path.parent)
        except OSError as error:
            raise FilesError(f"{path} cannot be renamed: {error.strerror or error}") from None
        return target
    raise FilesError(f"{path} cannot be renamed: a hundred copies are there already")


def nearest_existing(path: Path) -> Path:
    """The path itself or its nearest parent that exists."""
    for candidate in (path, *path.parents):
        if candidate.exists():
            return candidate
    return Path("/")


def same_device(one: Path, other: Path) -> bool:
    """Whether both are, or would be, on one file system."""
    return nearest_existing(one).stat().st_dev == nearest_existing(other).stat().st_dev


def volume_root(path: Path) -> Path:
    """The topmost directory on the file system that holds ``path``."""
    root = nearest_existing(path).resolve()
    if not root.is_dir():
        root = root.parent
    device = root.stat().st_dev
    while root.parent != root and root.parent.stat().st_dev == device:
        root = root.parent
    return root
