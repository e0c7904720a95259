"""Kafka's locks as another process holds them, and data that is moved aside under them."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from peerboot.outside import files
from peerboot.systems.kafka import lock, logdirs
from tests.kafka.test_logdirs import LOG_ID, META_ID, Dirs

POSIX = """
import fcntl, sys
files = [open(path, "a+") for path in sys.argv[1:]]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""
"""What a Java FileChannel lock is to the kernel."""


@contextmanager
def server(*directories: Path) -> Iterator[None]:
    """A process that holds the locks as a server does."""
    command = [sys.executable, "-c", POSIX, *(str(path / ".lock") for path in directories)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own words
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.communicate()


def try_lock(directory: Path) -> int:
    """Exit code of a server that only takes the lock."""
    command = [sys.executable, "-c", POSIX, str(directory / ".lock")]
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=60).returncode  # noqa: S603 - our own words


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    """A metadata directory with records and a log directory with a partition."""
    made = Dirs(tmp_path)
    made.format()
    made.ran()
    (made.log / "topic-0").mkdir()
    return made


def test_sees_any_of_the_locks(dirs: Dirs) -> None:
    """A controller locks its metadata directory only, a broker's log directories are locked too."""
    both = (dirs.metadata, dirs.log)
    assert not lock.is_locked(both)
    for one, other in (both, both[::-1]):
        with server(one):
            assert (lock.is_locked(both), lock.is_locked([one]), lock.is_locked([other])) == (True, True, False)
    assert not lock.is_locked(both)


def test_asking_takes_nothing(dirs: Dirs) -> None:
    """To ask makes no file and is in no server's way."""
    assert not lock.is_locked([dirs.metadata, dirs.root / "nowhere"])
    assert not (dirs.metadata / ".lock").exists()
    (dirs.metadata / ".lock").touch()
    inode = (dirs.metadata / ".lock").stat().st_ino
    fd = os.open(dirs.metadata / ".lock", os.O_RDONLY)
    try:
        lock.is_locked([dirs.metadata])
        assert [line for line in Path("/proc/locks").read_text().split("\n") if f":{inode} " in line] == []
    finally:
        os.close(fd)
    assert try_lock(dirs.metadata) == 0


def test_a_pipe_for_a_lock(dirs: Dirs) -> None:
    """Whatever lies there, nobody waits for it."""
    os.mkfifo(dirs.metadata / ".lock")
    assert not lock.is_locked([dirs.metadata])


def test_held_keeps_servers_out(dirs: Dirs) -> None:
    """While it is held no server gets the lock, also when this process asked about it meanwhile."""
    with lock.held([dirs.metadata, dirs.log, dirs.root / "nowhere"]):
        assert lock.is_locked([dirs.metadata])
        assert (try_lock(dirs.metadata), try_lock(dirs.log)) == (1, 1)
    assert (try_lock(dirs.metadata), try_lock(dirs.log)) == (0, 0)
    assert not lock.is_locked([dirs.metadata, dirs.log])


def test_held_is_busy(dirs: Dirs) -> None:
    """One server is enough to be busy, and what was locked till then is given back."""
    with server(dirs.log):
        with (
            pytest.raises(lock.BusyError, match=r"a server holds the lock of .*/logs/\.lock$"),
            lock.held([dirs.metadata, dirs.log]),
        ):
            pass
        assert try_lock(dirs.metadata) == 0


def test_a_lock_that_is_removed_meanwhile(dirs: Dirs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ends removes its lock file: who locked that one opens the next."""
    real = fcntl.fcntl
    calls: list[int] = []

    def remove_first(fd: int, what: int, asked: bytes) -> int | bytes:
        calls.append(what)
        if len(calls) == 1:
            (dirs.metadata / ".lock").unlink()
        return real(fd, what, asked)

    monkeypatch.setattr(fcntl, "fcntl", remove_first)
    with lock.held([dirs.metadata]):
        assert try_lock(dirs.metadata) == 1
    assert calls == [fcntl.F_OFD_SETLK] * 2


@pytest.mark.parametrize(("part", "gone"), [("member", {"metadata"}), ("all", {"metadata", "logs"})])
def test_move_aside(dirs: Dirs, part: Literal["all", "member"], gone: set[str]) -> None:
    """What makes it a member, or everything, is under another name, whole, and the same again does nothing."""
    before = {path.relative_to(dirs.root) for path in dirs.root.rglob("*")}
    kept = lock.move_aside(dirs.metadata, (dirs.log,), "S", part)
    assert kept == ", ".join(str(dirs.root / f"{name}.aside-S") for name in sorted(gone, reverse=True))
    after = {
        Path(str(path.relative_to(dirs.root)).replace(".aside-S", ""))
        for path in dirs.root.rglob("*")
        if path.name != ".lock"
    }
    assert after == before
    assert {name for name in ("metadata", "logs") if not (dirs.root / name).exists()} == gone
    assert lock.move_aside(dirs.metadata, (dirs.log,), "S", part) == "nowhere, there was none"
    assert dirs.read().kind == ("blank" if part == "all" else "partial")


def test_what_holds_nothing_stays(dirs: Dirs) -> None:
    """A log directory with nothing but a lock, lost+found or what was moved aside before is left alone."""
    other = dirs.root / "other"
    (other / "lost+found").mkdir(parents=True)
    (other / "topic-0.aside-R").mkdir()
    assert f"{dirs.root}/metadata.aside-S, {dirs.root}/logs.aside-S" == lock.move_aside(
        dirs.metadata, (other, dirs.log), "S", "all"
    )
    assert other.is_dir()


def test_busy_moves_nothing(dirs: Dirs) -> None:
    """A server that runs with one of the directories keeps both where they are, whatever part."""
    for part in ("all", "member"):
        with server(dirs.log), pytest.raises(lock.BusyError):
            lock.move_aside(dirs.metadata, (dirs.log,), "S", part)
    assert dirs.read().kind == "data"


def test_a_mount_point_moves_nothing(dirs: Dirs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount cannot be renamed: it is refused before anything is."""
    monkeypatch.setattr(lock, "is_mount_root", lambda path: path == dirs.log)
    with pytest.raises(lock.BusyError, match=r"/logs is a mount point, which cannot be renamed: use one below it$"):
        lock.move_aside(dirs.metadata, (dirs.log,), "S", "all")
    assert dirs.read().kind == "data"
    lock.move_aside(dirs.metadata, (dirs.log,), "S", "member")


def test_killed_between_two_renames(dirs: Dirs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed half-way it is no member any more, not one with empty logs, and the rest follows the next time."""
    done: list[Path] = []

    def once(path: Path, stamp: str) -> Path:
        if done:
            raise KeyboardInterrupt
        done.append(files.rename_aside(path, stamp))
        return done[0]

    with monkeypatch.context() as patch:
        patch.setattr(lock, "rename_aside", once)
        with pytest.raises(KeyboardInterrupt):
            lock.move_aside(dirs.metadata, (dirs.log,), "S", "all")
    disk = dirs.read()
    assert (disk.kind, disk.cluster, disk.running) == ("partial", dirs.cluster, False)
    assert lock.move_aside(dirs.metadata, (dirs.log,), "T", "all") == f"{dirs.root}/logs.aside-T"
    assert dirs.read().kind == "blank"


def test_running(dirs: Dirs) -> None:
    """The reader says so of either lock; the ids differ, for each directory has its own."""
    assert META_ID != LOG_ID
    with server(dirs.log):
        assert logdirs.read(dirs.metadata, (dirs.log,), 1).running
