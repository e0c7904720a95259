"""What is said of a volume without room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peerboot.systems.etcd import room


def _volume(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """A volume of 640 MiB with so many bytes free, whatever the machine has."""
    real = os.statvfs("/")
    told = os.statvfs_result((4096, 4096, (640 << 20) // 4096, free // 4096, free // 4096, *tuple(real)[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _path: told)


def test_with_room_for_a_segment_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MiB are enough for etcd to go on."""
    _volume(monkeypatch, 64 << 20)
    assert room.trouble(tmp_path / "etcd") == ""


def test_what_takes_the_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data that was set aside, with its size, and what to do; the text is the same while the room shrinks."""
    kept = tmp_path / "etcd" / "member.aside-20260102T030405Z" / "wal"
    kept.mkdir(parents=True)
    (kept / "0.wal").write_bytes(os.urandom(5 << 20))
    _volume(monkeypatch, 63 << 20)
    say = room.trouble(tmp_path / "etcd")
    assert say == (
        f"The volume of {tmp_path}/etcd has less than 64 MiB free of 640 MiB, which etcd's next segment of log takes: "
        "it takes no snapshot, and ends when it cannot write. What was set aside there takes 5 MiB "
        "(member.aside-20260102T030405Z …): delete what nobody wants. Else make the volume larger."
    )
    _volume(monkeypatch, 0)
    assert say == room.trouble(tmp_path / "etcd")


def test_a_volume_that_cannot_be_looked_at_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk's own reader says what is wrong with it."""

    def fail(_path: object) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", fail)
    assert room.trouble(tmp_path) == ""
