"""The door to files: the old content or the new whatever happens, nothing overwritten, everything bounded."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from peerboot.outside import files
from peerboot.outside.files import FilesError
from tests.cli.rig import SMALL, command

STEPS = ("open", "fchmod", "write", "fsync", "rename", "fsync-dir", "done")

DIE = """
import os, sys
from pathlib import Path
from peerboot.outside.files import write_whole
def step(name):
    if name == sys.argv[2]:
        os._exit(7)
write_whole(Path(sys.argv[1]), b"new" * 1000, 0o600, step=step)
"""


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# ------------------------------------------------------------- written whole


def test_the_steps_are_these(tmp_path: Path) -> None:
    """Every system call that changes something has a step before it, so the test below dies at each."""
    seen: list[str] = []
    files.write_whole(tmp_path / "f", b"x", step=seen.append)
    assert list(STEPS) == seen


@pytest.mark.parametrize("old", [b"old", None], ids=["over an old one", "the first"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_it_is_the_old_or_the_new(tmp_path: Path, step: str, old: bytes | None) -> None:
    """A process that dies between two system calls leaves one whole content, and the next write succeeds."""
    path = tmp_path / "state.json"
    if old is not None:
        path.write_bytes(old)
    assert command("-c", DIE, str(path), step).code == 7
    found = path.read_bytes() if path.exists() else None
    renamed = STEPS.index(step) > STEPS.index("rename")
    assert (b"new" * 1000 if renamed else old) == found
    files.write_whole(path, b"newest")
    assert (path.read_bytes(), _names(tmp_path)) == (b"newest", ["state.json"])


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777], ids=oct)
def test_the_mode_is_exact(tmp_path: Path, mask: int) -> None:
    """Whatever the umask: a file with secrets is never wider, and one for the server never narrower."""
    before = os.umask(mask)
    try:
        files.write_whole(tmp_path / "a", b"x", 0o600)
        files.write_whole(tmp_path / "b", b"x", 0o640)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o600, 0o640]


def test_a_link_in_the_way_is_replaced_not_followed(tmp_path: Path) -> None:
    """A symbolic link of the target's name gives way, one of the temporary file's is refused; none is followed."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "f").symlink_to(victim)
    files.write_whole(tmp_path / "f", b"new")
    assert (
        victim.read_bytes(),
        (tmp_path / "f").read_bytes(),
        (tmp_path / "f").is_symlink(),
    ) == (b"precious", b"new", False)
    (tmp_path / ".f.tmp").symlink_to(victim)
    with pytest.raises(FilesError, match="it is a symbolic link"):
        files.write_whole(tmp_path / "f", b"newer")
    assert (victim.read_bytes(), (tmp_path / "f").read_bytes()) == (b"precious", b"new")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "it is a directory"),
        (lambda path: os.mkfifo(path.with_name(f".{path.name}.tmp")), "No such device or address"),
    ],
    ids=["a directory has the name", "a pipe has the temporary name"],
)
def test_what_cannot_be_written_is_one_line(tmp_path: Path, make: object, reason: str) -> None:
    """The path and the reason in words; nothing waits, and no temporary file stays."""
    path = tmp_path / "f"
    make(path)  # type: ignore[operator]  # one of the two above
    with pytest.raises(FilesError) as caught:
        files.write_whole(path, b"x")
    assert f"{path} cannot be written: {reason}" == str(caught.value)
    assert ".f.tmp" not in _names(tmp_path)


def test_no_directory_is_one_line(tmp_path: Path) -> None:
    """A missing directory is named as that."""
    with pytest.raises(FilesError, match="cannot be written: its directory is not there"):
        files.write_whole(tmp_path / "no" / "f", b"x")


FILL = (
    SMALL
    + """
import json, sys
from pathlib import Path
from peerboot.outside.files import FilesError, write_whole
root = Path(sys.argv[1])
small(root, 65536)
path = root / "decision.json"
write_whole(path, b"good")
said = []
for _attempt in range(3):
    try:
        write_whole(path, b"x" * 200_000)
    except FilesError as error:
        said.append(str(error))
kept = path.read_bytes().decode()
left = sorted(found.name for found in root.iterdir())
write_whole(path, b"small again")
print(json.dumps([said, kept, left, path.read_bytes().decode()]))
"""
)


def test_a_full_file_system_keeps_the_last_good_content(tmp_path: Path) -> None:
    """No room: said in words, the old content stays whole, no temporary file takes the room, and a smaller one fits."""
    result = command("-c", FILL, str(tmp_path))
    assert result.code == 0, result.err
    said, kept, left, then = json.loads(result.out)
    assert len(said) == 3
    full = {
        f"{tmp_path}/decision.json cannot be written: {text}"
        for text in ("the file system is full", "the file size limit is reached")
    }
    assert set(said) <= full
    assert (kept, left, then) == ("good", ["decision.json"], "small again")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the file system is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EDQUOT, "the quota is used up"),
        (errno.EACCES, f"permission denied for uid {os.getuid()}"),
        (errno.EPERM, f"permission denied for uid {os.getuid()}"),
        (errno.EIO, "the disk reports an I/O error"),
        (errno.EBADF, "Bad file descriptor"),
    ],
)
def test_reasons_are_words(number: int, words: str) -> None:
    """What a user can do something about has words of its own."""
    assert words == files.why(OSError(number, os.strerror(number)))


# ---------------------------------------------------------------------- read


def test_reading_is_bounded(tmp_path: Path) -> None:
    """A file of exactly the limit is read; one byte more is an error."""
    path = tmp_path / "f"
    path.write_bytes(b"x" * 10)
    assert files.read_small(path, 10) == b"x" * 10
    with pytest.raises(FilesError, match="it is longer than 9 bytes"):
        files.read_small(path, 9)


@pytest.mark.parametrize("under", ["missing", "file/below"], ids=["no file", "a file for a directory"])
def test_what_is_not_there_is_none(tmp_path: Path, under: str) -> None:
    """No file of that name is not an error."""
    (tmp_path / "file").touch()
    assert files.read_small(tmp_path / under, 10) is None


def test_a_pipe_or_a_directory_is_not_read(tmp_path: Path) -> None:
    """What is no regular file is named as that at once; a pipe without a writer does not make it wait."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(FilesError, match="it is not a regular file"):
            files.read_small(path, 10)


# --------------------------------------------------------------------- aside


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_renamed_aside_never_over_anything(tmp_path: Path, kind: str) -> None:
    """The same stamp twice gives two names, and the first stays as it is."""
    path, kept = tmp_path / "data", []
    for number in (b"0", b"1", b"2"):
        if kind == "directory":
            path.mkdir()
            (path / "f").write_bytes(number)
        elif kind == "link":
            path.symlink_to(number.decode())
        else:
            path.write_bytes(number)
        kept.append(files.rename_aside(path, "20260102T030405Z"))
    assert [found.name for found in kept] == [
        "data.aside-20260102T030405Z",
        "data.aside-20260102T030405Z-1",
        "data.aside-20260102T030405Z-2",
    ]
    read: dict[str, Callable[[Path], bytes]] = {
        "file": lambda found: found.read_bytes(),
        "directory": lambda found: (found / "f").read_bytes(),
        "link": lambda found: str(found.readlink()).encode(),
    }
    assert [read[kind](found) for found in kept] == [b"0", b"1", b"2"]
    assert not path.exists()


def test_nothing_to_rename_is_an_error(tmp_path: Path) -> None:
    """A missing path is named."""
    with pytest.raises(FilesError, match="cannot be renamed: it is not there"):
        files.rename_aside(tmp_path / "data", "s")


def test_names_for_what_is_aside_run_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bounded number of copies with one stamp; then an error, and what is there stays."""
    monkeypatch.setattr(files, "MAX_ASIDE", 1)
    (tmp_path / "f.aside-s").write_bytes(b"old")
    (tmp_path / "f").write_bytes(b"new")
    with pytest.raises(FilesError, match="copies named s are there already"):
        files.rename_aside(tmp_path / "f", "s")
    with pytest.raises(FilesError, match="copies named s are there already"):
        files.keep_copy(tmp_path / "f", "s", 10)
    assert ((tmp_path / "f.aside-s").read_bytes(), (tmp_path / "f").read_bytes()) == (b"old", b"new")


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_a_kept_copy_outlives_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """The file stays in place, and its copy is untouched when it is written anew, also where there are no links."""
    if not links:
        monkeypatch.setattr(files, "_link", lambda _path, _target: False)
    path = tmp_path / "f"
    path.write_bytes(b"old")
    kept = files.keep_copy(path, "s", 10)
    files.write_whole(path, b"new")
    assert kept == tmp_path / "f.aside-s"
    assert (kept.read_bytes(), path.read_bytes()) == (b"old", b"new")
    assert files.keep_copy(tmp_path / "none", "s", 10) is None
    assert _names(tmp_path) == ["f", "f.aside-s"]


# --------------------------------------------------------------- directories


def test_directories_are_made_for_this_user_only(tmp_path: Path) -> None:
    """Every one that was missing has mode 0700; one that is there is left alone."""
    files.make_directory(tmp_path / "a" / "b")
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o700, 0o700]
    (tmp_path / "a").chmod(0o755)
    files.make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """A file where a directory should be is said in words."""
    (tmp_path / "f").touch()
    with pytest.raises(FilesError, match=r"f/a cannot be made: "):
        files.make_directory(tmp_path / "f" / "a")


HOLD = """
import sys
from pathlib import Path
from peerboot.outside.files import FilesError, directory_lock
try:
    with directory_lock(Path(sys.argv[1])):
        print("held")
except FilesError as error:
    print(error)
"""


def test_one_process_writes_in_a_directory_at_a_time(tmp_path: Path) -> None:
    """Another is told at once; when the first is done it may."""
    with files.directory_lock(tmp_path):
        busy = command("-c", HOLD, str(tmp_path)).out
    assert f"{tmp_path} is being written by another process: wait for the other Pod to end\n" == busy
    assert command("-c", HOLD, str(tmp_path)).out == "held\n"


def test_without_locks_on_directories_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems have none: then there is no second look, but no error either."""

    def none(_fd: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    with files.directory_lock(tmp_path):
        pass


# ------------------------------------------------------------------- volumes


def test_the_volume_of_a_path_that_is_not_there_yet() -> None:
    """The mount below which it would be; what is mounted is known also where the device does not change."""
    assert Path("/proc") == files.volume_root(Path("/proc/no/such"))
    assert Path("/") == files.volume_root(Path("/no/such/directory"))
    assert files.is_mount_root(Path("/proc"))
    assert not files.is_mount_root(Path("/proc/self"))
    assert not files.is_mount_root(Path("/no/such"))


def test_mount_points_with_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel writes a blank as backslash 040; a line that is none of its lines is left out."""
    lines = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 8:1 /x /my\\040data rw - ext4 /dev/sda1 rw\ngarbage\n"
    monkeypatch.setattr(files, "read_small", lambda _path, _limit: lines)
    assert frozenset({Path("/"), Path("/my data")}) == files.mount_points()


def test_one_device_or_two(tmp_path: Path) -> None:
    """Paths that are not there yet count as what would hold them."""
    assert files.same_device(tmp_path / "a" / "b", tmp_path / "c")
    assert not files.same_device(tmp_path / "a", Path("/proc/a"))


@pytest.mark.parametrize("target", ["nowhere", "link"], ids=["to nothing", "to itself"])
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, target: str) -> None:
    """Such a path is on no device: an error, not the parent's."""
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(FilesError, match="cannot be looked at: it is a link that leads nowhere"):
        files.same_device(tmp_path / "link", tmp_path)
    assert not files.is_mount_root(tmp_path / "link")


# ---------------------------------------------------------------- last words


def test_last_words_fit_the_kubelet(tmp_path: Path) -> None:
    """At most 4096 bytes, whole characters, a line; what stood there is gone; the file is not made."""
    path = tmp_path / "termination"
    files.write_last_words(str(path), "nobody reads it")
    assert not path.exists()
    path.write_text("x" * 9000)
    files.write_last_words(str(path), "ü" * 4000)
    content = path.read_bytes()
    assert (content.decode(), len(content) <= 4096) == ("ü" * 2047 + "\n", True)
    files.write_last_words(str(path), "short \udcff")
    assert path.read_text() == "short ?\n"


@pytest.mark.parametrize(
    "path", ["{root}", "{root}/no/such", "{root}/a\0b", ""], ids=["directory", "missing", "zero", "none"]
)
def test_last_words_never_fail(tmp_path: Path, path: str) -> None:
    """The end of a process does not depend on them."""
    files.write_last_words(path.replace("{root}", str(tmp_path)), "words")
    assert list(tmp_path.iterdir()) == []
