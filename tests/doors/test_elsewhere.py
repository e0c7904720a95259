"""A server's data that lies elsewhere on the volume: what is found, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peerboot.model import Birth, Identity
from peerboot.outside import elsewhere
from peerboot.outside.clock import SystemClock
from peerboot.statedir import StateDir

MARKS = ("member/snap/db", "meta.properties")


def _data(path: Path) -> Path:
    (path / "member" / "snap").mkdir(parents=True)
    (path / "member" / "snap" / "db").touch()
    return path


def _found(volume: Path) -> str:
    return elsewhere.find(volume, MARKS, [volume / "data"])


@pytest.mark.parametrize("where", ["", "old", "a/b/c/d/e", ".hidden", "data.bak"])
def test_it_is_found_wherever_it_lies(tmp_path: Path, where: str) -> None:
    """At the root of the volume, beside the data directory, and five levels below."""
    assert str(_data(tmp_path / where)) == _found(tmp_path)


def test_the_nearest_is_named(tmp_path: Path) -> None:
    """Of several the one that is the least deep, then the first by name."""
    for where in ("a/b/c", "z", "y"):
        _data(tmp_path / where)
    assert str(tmp_path / "y") == _found(tmp_path)


@pytest.mark.parametrize(
    "where",
    ["data", "data/below", "lost+found", ".peerboot/x", "member.aside-20260102T030405Z", "1/2/3/4/5/6"],
)
def test_what_is_left_alone(tmp_path: Path, where: str) -> None:
    """Where it is looked for anyway, what peerboot or the file system put aside, and what lies too deep."""
    _data(tmp_path / where)
    assert _found(tmp_path) == ""


def test_links_are_not_followed(tmp_path: Path) -> None:
    """They may lead anywhere, and round in circles."""
    outside = _data(tmp_path / "outside")
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "link").symlink_to(outside)
    (volume / "circle").symlink_to(volume)
    assert _found(volume) == ""


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume with countless directories costs a bounded number of looks."""
    looks: list[Path] = []
    below = elsewhere._below

    def looked(path: Path) -> list[Path]:
        looks.append(path)
        return below(path)

    monkeypatch.setattr(elsewhere, "_below", looked)
    for number in range(elsewhere.MOST_DIRECTORIES + 50):
        (tmp_path / f"{number:04}").mkdir()
    assert _found(tmp_path) == ""
    assert len(looks) == elsewhere.MOST_DIRECTORIES


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """A missing volume, and a file in a directory's place."""
    assert _found(tmp_path / "missing") == ""
    (tmp_path / "file").touch()
    assert _found(tmp_path / "file") == ""


# ---------------------------------------------------------------- the state


def _state(path: Path, seek: Callable[[], str]) -> StateDir:
    me = Identity(namespace="prod", service="s", statefulset="db", pod="db-0", ordinal=0, system="etcd", domain="d")
    return StateDir(path / ".peerboot", me, SystemClock(), seek)


def test_it_is_looked_for_once_and_only_where_nothing_is_remembered(tmp_path: Path) -> None:
    """With its first look at the volume; not again, and not on a volume with a birth of its own."""
    looks: list[str] = []

    def seek() -> str:
        looks.append("/old")
        return looks[-1]

    state = _state(tmp_path, seek)
    assert (state.read().elsewhere, state.ensure_nonce().elsewhere, len(looks)) == ("/old", "/old", 1)
    record = state.read()
    state.record_birth(Birth(token="t", members={"db-0": record.nonce}))
    assert (state.read().elsewhere, len(looks)) == ("", 1)
    again = _state(tmp_path, seek)
    assert (again.read().elsewhere, len(looks)) == ("", 1)
