"""bbolt: any bytes as etcd's database, with and without a log beside it.

Input: a byte of flags (a real log beside it; headers that are signed anew, so that what lies behind them is reached),
then a file that is mostly zeros (``harness.dense``).

Held: only ``BoltError`` is raised, nothing by the reader of the directory; what a bucket holds is bounded, and occurs
in the file; ``blank`` is not said of a database in which a member's URLs stand; a database never changes whose the data
is.
"""

from __future__ import annotations

import contextlib
import random
import struct
from functools import cache
from pathlib import Path

from peerboot.systems.etcd import bolt, datadir
from tests.fuzz.harness import SAMPLES, dense, expect, expect_line, scratch

WORDS = (
    struct.pack("<II", 0xED0CDAED, 2), b"members", b"meta", b"key", b"consistent_index", b"peerURLs",
    b"\x01\x00", b"\x02\x00", b"\xff" * 8, b'{"peerURLs":null}', b'{"peerURLs":["http://a:2380"]}', b"[" * 64,
)  # fmt: skip
LONGEST = 16 * 1024
LOG, SIGNED = 0x01, 0x02
MAGIC = struct.pack("<II", 0xED0CDAED, 2)
BUCKETS = (b"members", b"meta", b"key")
LIMIT = 1000


def check(data: bytes) -> None:
    """One input."""
    flags = data[0] if data else 0
    content = dense(data[1:])
    if flags & SIGNED:
        content = signed(content)
    root = _root(flags & LOG)
    database = root / "member/snap/db"
    database.write_bytes(content)
    # It remembers by the time of the last change, which is too coarse for so many in a second.
    datadir._names_urls.cache_clear()
    _read_alone(database, content)
    disk = datadir.read(root)
    expect_line(disk.reason + disk.warning, "a reason")
    if flags & LOG:
        expect(disk.kind in ("data", "corrupt"), f"{disk.kind} beside a log with entries")
        expect((disk.member, disk.cluster) == _whose(), f"the database makes it another's: {disk}")
        return
    expect(disk.kind in ("blank", "corrupt", "unknown"), f"{disk.kind} without a log")
    if disk.kind == "blank":
        expect(b'"peerURLs"' not in content, "blank, and a member's URLs stand in the database")


@cache
def _root(log: int) -> Path:
    """A data directory, with or without a log; made once and kept."""
    root = scratch() / f"bolt-{log}"
    (root / "member/snap").mkdir(parents=True)
    if log:
        (root / "member/wal").mkdir()
        segment = (SAMPLES / "young.wal").read_bytes()
        (root / "member/wal/0000000000000000-0000000000000000.wal").write_bytes(segment)
    return root


def _read_alone(database: Path, content: bytes) -> None:
    with contextlib.suppress(bolt.BoltError):
        opened = bolt.Bolt(database)
        try:
            for bucket in BUCKETS:
                _is_of(opened.items(bucket, LIMIT), content)
        finally:
            opened.close()


def _is_of(found: dict[bytes, bytes], content: bytes) -> None:
    expect(len(found) <= LIMIT, f"{len(found)} pairs")
    expect(sum(map(len, found)) + sum(map(len, found.values())) <= bolt.MAX_BYTES, "more bytes than allowed")
    for key, value in list(found.items())[:20]:
        expect(key + value in content, f"{key!r} is not in the file")


@cache
def _whose() -> tuple[str, str]:
    member, cluster = (SAMPLES / "young.txt").read_text().split()
    return member, cluster


def signed(content: bytes) -> bytes:
    """The same, each header with the checksum that it should have."""
    made = bytearray(content)
    at = content.find(MAGIC)
    while at >= 0 and at + 64 <= len(content):
        checksum = 0xCBF29CE484222325
        for byte in content[at : at + 56]:
            checksum = ((checksum ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
        made[at + 56 : at + 64] = checksum.to_bytes(8, "little")
        at = content.find(MAGIC, at + 64)
    return bytes(made)


def mutate(data: bytes, chance: random.Random) -> bytes | None:
    """A number of two, four or eight bytes somewhere in a piece becomes small, or huge."""
    if len(data) < 16:
        return None
    at, size = chance.randrange(1, len(data) - 8), chance.choice((2, 4, 8))
    value = chance.choice((0, 1, 2, 3, 4, 7, 255, (1 << 8 * size) - 1, 1 << (8 * size - 1), chance.randrange(1 << 16)))
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]
