"""Ways to damage a real directory, each as it happens to disks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from peerboot.checksum import crc32c
from peerboot.systems.etcd.bolt import Bolt
from peerboot.systems.etcd.wal import CHECK_BYTES, ENTRY, blob, message, number, segments

DATABASE = Path("member/snap/db")
ENTRY_INDEX = 3
"""The field of an entry that numbers it (raftpb, Entry)."""


def last_segment(data_dir: Path) -> Path:
    """The segment that etcd reads last."""
    return segments(data_dir / "member" / "wal")[-1][2]


def frames(segment: Path) -> list[tuple[int, int]]:
    """Start and end, padding included, of each record."""
    found, at = [], 0
    with segment.open("rb") as file:
        while (frame := int.from_bytes(file.read(8), "little")) != 0:
            padding = (frame >> 56) & 7 if frame >> 63 else 0
            end = at + 8 + (frame & ((1 << 56) - 1)) + padding
            found.append((at, end))
            at = end
            file.seek(at)
    return found


def cut(segment: Path, size: int) -> None:
    """As a file is that was never written further: zeros up to its former size."""
    whole = segment.stat().st_size
    os.truncate(segment, size)
    os.truncate(segment, whole)


def interrupt(data_dir: Path, failed: Path) -> None:
    """Killed between the making of the log and its first entries: it says whose it is and that there is no snapshot,
    and the database is as it is made (``failed`` has such a one)."""
    segment = last_segment(data_dir)
    cut(segment, frames(segment)[3][0])
    shutil.copy(failed / DATABASE, data_dir / DATABASE)


def overwrite(path: Path, at: int, content: bytes) -> None:
    """Other bytes in place."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def header_garbage(data_dir: Path) -> None:
    """The log's first bytes are garbage."""
    overwrite(last_segment(data_dir), 0, b"\xde\xad\xbe\xef" * 4)


def middle_garbage(data_dir: Path) -> None:
    """A byte of an entry has changed."""
    segment = last_segment(data_dir)
    start, end = frames(segment)[-1]
    overwrite(segment, start + 24, b"\xff" * min(8, end - start - 24))


def log_of_no_bytes(data_dir: Path) -> None:
    """The segment is empty."""
    last_segment(data_dir).write_bytes(b"")


def log_deleted(data_dir: Path) -> None:
    """The log is gone, the database is there."""
    for _, _, path in segments(data_dir / "member" / "wal"):
        path.unlink()


def tail_lost(data_dir: Path) -> None:
    """The log's last records were never written, and the database has what they said. (It is written some 100 ms after
    the log: of a server that was killed sooner it may have less than the log.)"""
    bolt = Bolt(data_dir / DATABASE)
    applied = int.from_bytes(bolt.items(b"meta")[b"consistent_index"][:8], "big")
    bolt.close()
    segment = last_segment(data_dir)
    with segment.open("rb") as file:
        written = file.read(frames(segment)[-1][1])
    for start, end in frames(segment):
        parsed = message(written[start + 8 : end - _padding(written, start)])
        if number(parsed, 1) == ENTRY and number(message(blob(parsed, 3)), ENTRY_INDEX) == applied:
            cut(segment, start)
            return
    raise AssertionError(f"no entry {applied} in {segment}")


def file_ends_inside(data_dir: Path) -> None:
    """The file ends inside its last record."""
    segment = last_segment(data_dir)
    start, end = frames(segment)[-1]
    os.truncate(segment, (start + end) // 2)


def database_garbage(data_dir: Path) -> None:
    """The database's first pages are garbage."""
    overwrite(data_dir / DATABASE, 0, b"\x5a" * 16384)


def database_truncated(data_dir: Path) -> None:
    """The database is shorter than its header says."""
    os.truncate(data_dir / DATABASE, 4096 * 3)


def database_missing(data_dir: Path) -> None:
    """The database is gone."""
    (data_dir / DATABASE).unlink()


CORRUPTING: dict[str, Callable[[Path], None]] = {
    "header-garbage": header_garbage,
    "middle-garbage": middle_garbage,
    "log-of-no-bytes": log_of_no_bytes,
    "log-deleted": log_deleted,
    "tail-lost": tail_lost,
    "database-garbage": database_garbage,
    "database-truncated": database_truncated,
}


def _varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def record(kind: int, crc: int, body: bytes) -> bytes:
    """One record with its frame and padding, as etcd's encoder writes it."""
    content = bytes([8, kind, 16]) + _varint(crc) + b"\x1a" + _varint(len(body)) + body
    padding = -len(content) % 8
    frame = len(content) | ((0x80 | padding) << 56 if padding else 0)
    return frame.to_bytes(8, "little") + content + bytes(padding)


def fill(segment: Path, size: int) -> int:
    """Repeat the largest entry until the segment is so large; returns how many times. Only what lies near both ends has
    the checksums that etcd would have written: to compute them all takes half a minute."""
    with segment.open("rb") as file:
        written = file.read(frames(segment)[-1][1])
    content = bytearray(written)
    parsed = [message(written[start + 8 : end - _padding(written, start)]) for start, end in frames(segment)]
    body = max((blob(fields, 3) for fields in parsed if number(fields, 1) == ENTRY), key=len)
    crc, count, near = number(parsed[-1], 2), 0, CHECK_BYTES + (64 << 10)
    repeated = record(ENTRY, crc, body)
    for end in (near, size - near, size):
        if end == size - near:
            copies = (end - len(content)) // len(repeated)
            content += repeated * copies
            count += copies
            continue
        if end == size:
            crc = number(message(repeated[8 : len(repeated) - _padding(repeated, 0)]), 2)
        while len(content) < end:
            crc = crc32c(crc, body)
            content += record(ENTRY, crc, body)
            count += 1
    segment.write_bytes(content)
    return count


def _padding(content: bytes, at: int) -> int:
    top = content[at + 7]
    return top & 7 if top & 0x80 else 0
