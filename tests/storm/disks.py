"""Volumes of a storm: what is on them, read without peerboot's help; small ones that can be full; new ones."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
from pathlib import Path

FILLER = "full"
"""The file that takes all room of a volume."""
SMALL = 1024
"""MiB of a small volume: etcd's log takes 64 MiB a segment and keeps a few."""
METADATA, CRC = 1, 4
"""Types of records at the head of each segment of etcd's log (wal.proto)."""


def identity(data_dir: Path) -> tuple[str, str] | None:
    """Cluster and member id in hex at the head of the log; None where there is no log, or it says nothing yet."""
    try:
        first = min((data_dir / "member" / "wal").glob("*.wal"))
        with first.open("rb") as file:
            head = file.read(4096)
    except (OSError, ValueError):
        return None
    at = 0
    while at + 8 <= len(head):
        (frame,) = struct.unpack_from("<Q", head, at)
        size = frame & ((1 << 56) - 1)
        padding = (frame >> 56) & 7 if frame >> 63 else 0
        record = _fields(head[at + 8 : at + 8 + size])
        if record.get(1) == METADATA:
            data = record.get(3, b"")
            if not isinstance(data, bytes):
                return None
            ids = _fields(data)
            member, cluster = ids.get(1, 0), ids.get(2, 0)
            return (f"{cluster:x}", f"{member:x}") if isinstance(member, int) and isinstance(cluster, int) else None
        if record.get(1) != CRC:
            return None
        at += 8 + size + padding
    return None


def _fields(message: bytes) -> dict[int, int | bytes]:
    """Numbers and byte strings of a protobuf message, by field."""
    found, at = dict[int, int | bytes](), 0
    try:
        while at < len(message):
            tag, at = _varint(message, at)
            value, at = _varint(message, at)
            if tag & 7 == 2:
                found[tag >> 3], at = message[at : at + value], at + value
            elif tag & 7 == 0:
                found[tag >> 3] = value
            else:
                return {}
    except IndexError:
        return {}
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


# ------------------------------------------------------------ small volumes


def mount_small(volume: Path) -> None:
    """A file system of its own, of a few hundred MiB, for this process and its children only."""
    volume.mkdir(parents=True, exist_ok=True)
    options = f"size={SMALL}m,mode=0755"
    command = ["mount", "-t", "tmpfs", "-o", options, "storm", str(volume)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)  # noqa: S603 - our own words


def unmount(volume: Path) -> None:
    """Lost, with all that is on it, even where a process is still there."""
    command = ["umount", "--lazy", str(volume)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)  # noqa: S603 - our own words


def fill(volume: Path) -> int:
    """Take every byte that is left; returns how many these were. Again and again: what is freed meanwhile goes too."""
    taken, step = 0, 64 << 20
    with (volume / FILLER).open("ab") as file:
        at = file.tell()
        while step >= 4096:
            try:
                os.posix_fallocate(file.fileno(), at, step)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                step //= 2
            else:
                taken, at = taken + step, at + step
                file.seek(at)
    return taken


def clear_aside(data_dir: Path) -> int:
    """Delete what peerboot has set aside there, as a person does who needs the room; returns how many these were."""
    found = list(data_dir.glob("*.aside-*"))
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return len(found)


def free(volume: Path) -> None:
    """Give it back."""
    (volume / FILLER).unlink(missing_ok=True)
