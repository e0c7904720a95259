"""A directory is copied on its volume: real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peerboot.outside import copying
from peerboot.outside.copying import Stop, copy_directory
from peerboot.outside.files import FilesError

HOLE = 8 << 20


def _made(root: Path) -> Path:
    """A directory as a server leaves it: a log that is mostly hole, a database, a link that is nobody's."""
    source = root / "member"
    (source / "wal").mkdir(parents=True)
    (source / "snap").mkdir()
    with (source / "wal" / "0.wal").open("wb") as file:
        file.write(b"log" * 1000)
        file.truncate(HOLE)
    (source / "snap" / "db").write_bytes(os.urandom(3 << 20))
    (source / "snap" / "db").chmod(0o600)
    (source / "link").symlink_to("/etc/passwd")
    return source


def _content(directory: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(p.relative_to(directory)): (p.read_bytes(), p.stat().st_mode & 0o777) for p in files}


def test_it_is_whole(tmp_path: Path) -> None:
    """Every file with bytes and mode; holes stay holes; links stay behind; another directory has its place in it."""
    source, target, more = _made(tmp_path), tmp_path / "copy", tmp_path / "waldir"
    more.mkdir()
    (more / "1.wal").write_bytes(b"more")
    size = copy_directory(source, target, {"wal": (more, "*.wal")}, Stop())
    expected = {**_content(source), "wal/1.wal": _content(more)["1.wal"]}
    assert (expected, False) == (_content(target), (target / "link").exists())
    assert size == sum(len(content) for content, _ in expected.values())
    assert (target / "wal" / "0.wal").stat().st_blocks * 512 < HOLE / 2


def test_what_is_whole_stays(tmp_path: Path) -> None:
    """A copy of that name is one of the same moment: it is not made again."""
    source, target = _made(tmp_path), tmp_path / "copy"
    copy_directory(source, target, {}, Stop())
    before = _content(target)
    (source / "snap" / "db").write_bytes(b"later")
    copy_directory(source, target, {}, Stop())
    assert before == _content(target)


def test_one_that_was_cut_off_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle it has no name yet, and the next try makes it whole."""
    monkeypatch.setattr(copying, "_clone", lambda _reads, _writes: False)
    source, target, stop = _made(tmp_path), tmp_path / "copy", Stop()
    stop.set()
    with pytest.raises(FilesError, match="cut off; the next try makes it anew"):
        copy_directory(source, target, {}, stop)
    assert (target.exists(), (tmp_path / "copy.part").exists()) == (False, True)
    copy_directory(source, target, {}, Stop())
    assert (_content(source), False) == (_content(target), (tmp_path / "copy.part").exists())


def test_without_room_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how much is needed, how much there is, and what to do."""
    monkeypatch.setattr(copying, "_clone", lambda _reads, _writes: False)
    monkeypatch.setattr(copying, "ROOM_LEFT", 1 << 62)
    with pytest.raises(
        FilesError, match=r"a copy of the data takes 3 MiB, .* make it larger, or move what is set aside"
    ):
        copy_directory(_made(tmp_path), tmp_path / "copy", {}, Stop())
    assert not (tmp_path / "copy").exists()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A directory that is not there is an error in one line, not an empty copy."""
    with pytest.raises(FilesError, match=r"the data cannot be copied to .*copy: its directory is not there"):
        copy_directory(tmp_path / "member", tmp_path / "copy", {}, Stop())


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 KiB"), (5 << 20, "5 MiB"), (3 << 29, "1.5 GiB")], ids=["nothing", "MiB", "GiB"]
)
def test_sizes_are_for_people(size: int, text: str) -> None:
    """In the largest unit of which there is one."""
    assert text == copying.size_text(size)
